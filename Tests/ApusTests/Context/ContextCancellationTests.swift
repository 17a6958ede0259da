import Apus
import Testing

/// A reason that tests give, told from others by its name.
struct Reason: Error, Equatable {
  let name: String
  init(_ name: String) { self.name = name }
}

extension Context {
  var reason: Reason? { cause as? Reason }
  /// Whether it shows all signs of a cancellation by `failure`, or, for nil, none of them.
  func shows(_ failure: Failure?) -> Bool {
    self.failure == failure && done.isClosed == (failure != nil) && (cause == nil) == (failure == nil)
  }
}

@Suite struct ContextCancellationTests {
  @Test func backgroundIsNeverCancelled() throws {
    try checking { found in
      let context = Context.background
      found.check(context.shows(nil))
      found.check(context.deadline == nil)
      found.check(context.done === Context.background.done, "another channel each time")
      found.check(context === Context.background)
    }
  }

  @Test func cancelReachesDerivedContextsAtOnce() throws {
    try checking { found in
      let (top, cancel) = Context.background.cancellable()
      let named = top.with(Context.Key<Int>(), 1)
      let (below, _) = named.cancellable()
      for context in [top, named, below] { found.check(context.shows(nil), "\(context)") }
      cancel(nil)
      for context in [top, named, below] { found.check(context.shows(.cancelled), "\(context)") }
    }
  }

  @Test func parentCancelsItsChildrenAndForgetsThem() throws {
    try checking { found in
      let (parent, cancel) = Context.background.cancellable()
      let (child, _) = parent.cancellable()
      let named = parent.with(Context.Key<String>(), "value")
      let (timed, _) = named.timeout(.seconds(3_600_000))
      let ran = Channel<Never>()
      let stop = parent.onCancel { ran.close() }
      for context in [parent, child, named, timed] { found.check(context.shows(nil), "\(context)") }
      found.check(parent.census! == (2, 1, false), "\(parent.census!)")
      found.check(named.census! == (2, 1, false), "a value has a cancellation of its own")
      found.check(timed.census! == (0, 0, true), "\(timed.census!)")
      cancel(nil)
      found.check(parent.census! == (0, 0, false), "\(parent.census!)")
      found.check(timed.census! == (0, 0, false), "\(timed.census!)")
      for context in [parent, child, named, timed] { found.check(context.shows(.cancelled), "\(context)") }
      found.check(parent.with(Context.Key<String>(), "later").shows(.cancelled))
      _ = ran.receive()
      found.check(!stop())
    }
  }

  @Test func childLeavesItsParentAlone() throws {
    try checking { found in
      let (cancellable, cancelParent) = Context.background.cancellable()
      for parent in [Context.background, cancellable] {
        let (child, cancel) = parent.cancellable()
        found.check(parent.shows(nil) && child.shows(nil))
        if let census = parent.census { found.check(census.children == 1) }
        cancel(nil)
        if let census = parent.census { found.check(census.children == 0) }
        found.check(child.shows(.cancelled))
        found.check(parent.shows(nil))
      }
      cancelParent(nil)
    }
  }

  @Test func whatIsOverIsTakenOffTheParentsLists() throws {
    try checking { found in
      let (parent, cancelParent) = Context.background.cancellable()
      found.check(parent.census! == (0, 0, false))
      let (_, cancel) = parent.cancellable()
      found.check(parent.census! == (1, 0, false))
      cancel(nil)
      found.check(parent.census! == (0, 0, false))
      let (_, cancelTimed) = parent.timeout(.seconds(3600))
      found.check(parent.census! == (1, 0, false))
      cancelTimed(nil)
      found.check(parent.census! == (0, 0, false))
      let (expiring, _) = parent.timeout(.milliseconds(1))
      _ = expiring.done.receive()
      // The timer's goroutine takes it off after it has closed the channel.
      while parent.census!.children != 0 { Goroutine.yield() }
      let stop = parent.onCancel {}
      found.check(parent.census! == (0, 1, false))
      found.check(stop())
      found.check(parent.census! == (0, 0, false))
      _ = parent.timeout(.zero)
      found.check(parent.census! == (0, 0, false))
      cancelParent(nil)
    }
  }

  @Test func aLongLivedParentCollectsNothing() throws {
    try checking { found in
      let (parent, cancelParent) = Context.background.cancellable()
      var cancels = (0..<5000).map { _ in parent.cancellable().cancel }
      found.check(parent.census!.children == 5000)
      // From both ends, so that removal from the middle of the list is among it.
      while let cancel = cancels.popLast() {
        cancel(nil)
        if !cancels.isEmpty { cancels.removeFirst()(nil) }
        found.check(parent.census!.children == cancels.count)
      }
      for _ in 0..<5000 { parent.cancellable().cancel(nil) }
      found.check(parent.census!.children == 0)
      cancelParent(nil)
    }
  }

  @Test func propagationNeedsNoGoroutines() throws {
    try checking { found in
      let (parent, cancel) = Context.background.cancellable()
      let before = Runtime.goroutineCount
      let children = (0..<10_000).map { number in
        number % 2 == 0 ? parent.cancellable().context : parent.timeout(.seconds(3600)).context
      }
      // Other tests run at the same time, and may start some.
      found.check(Runtime.goroutineCount < before + 5000, "\(Runtime.goroutineCount - before) goroutines")
      cancel(Reason("all"))
      found.check(children.allSatisfy { $0.shows(.cancelled) && $0.reason == Reason("all") })
    }
  }

  @Test func theFirstCancellationCounts() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let done = context.done
      cancel(Reason("first"))
      cancel(Reason("second"))
      cancel(nil)
      found.check(context.reason == Reason("first"))
      found.check(context.done === done)
    }
  }

  @Test func doneIsTheSameChannelEachTime() throws {
    try checking { found in
      let (asked, cancelAsked) = Context.background.cancellable()
      let channel = asked.done
      found.check(asked.done === channel && asked.with(Context.Key<Int>(), 1).done === channel)
      found.check(asked.cancellable().context.done !== channel)
      cancelAsked(nil)
      found.check(asked.done === channel && channel.isClosed)
      let (unasked, cancelUnasked) = Context.background.cancellable()
      cancelUnasked(nil)
      found.check(unasked.done.isClosed && unasked.done === unasked.done)
    }
  }

  @Test func aChildOfACancelledParentIsCancelledFromTheStart() throws {
    try checking { found in
      let (parent, cancel) = Context.background.cancellable()
      cancel(Reason("because"))
      for child in [parent.cancellable().context, parent.timeout(.seconds(1)).context, parent.timeout(.zero).context] {
        found.check(child.shows(.cancelled), "\(child)")
        found.check(child.reason == Reason("because"), "\(child)")
        found.check(child.census! == (0, 0, false), "\(child)")
      }
      found.check(parent.census! == (0, 0, false))
    }
  }

  @Test func theGoroutinesThatWaitAreWoken() throws {
    try checking { found in
      let (parent, cancel) = Context.background.cancellable()
      let waiting = WaitGroup()
      let woken = Channel<Bool>(capacity: 200)
      for number in 0..<200 {
        let context = number % 2 == 0 ? parent : parent.cancellable().context
        waiting.add()
        go {
          let done = context.done
          waiting.done()
          let closed = done.receive() == nil
          woken.send(closed && context.failure == .cancelled)
        }
      }
      waiting.wait()
      go { cancel(nil) }
      for _ in 0..<200 { found.check(woken.receive() == true) }
    }
  }

  @Test func selectTakesDoneAsOneOfItsOperations() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let jobs = Channel<Int>()
      go { cancel(nil) }
      switch select(jobs.receiving, context.done.receiving, Context.background.done.receiving) {
      case .first, .third: found.check(false, "nothing was sent, and the background is never done")
      case .second: found.check(context.failure == .cancelled)
      }
    }
  }

  /// The test's own thread is none of the runtime's.
  @Test func threadsCancelAndWait() throws {
    let (context, cancel) = Context.background.cancellable()
    go { cancel(Reason("from a goroutine")) }
    #expect(context.done.receive() == nil)
    #expect(context.reason == Reason("from a goroutine"))
    let (other, cancelOther) = Context.background.cancellable()
    let seen = Channel<Bool>()
    go {
      _ = other.done.receive()
      seen.send(other.failure == .cancelled)
    }
    cancelOther(nil)
    #expect(seen.receive() == true)
  }
}
