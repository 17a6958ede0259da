import Apus
import Testing

/// Cancellations that meet each other.
@Suite struct ContextRaceTests {
  @Test func simultaneousCancelsOfATree() throws {
    try checking { found in
      var nodes = [Context.background.cancellable()]
      var next = 0
      while nodes.count < 100 {
        let parent = nodes[next].context
        next += 1
        for _ in 0..<4 { nodes.append(parent.cancellable()) }
      }
      let group = WaitGroup()
      for node in nodes.shuffled() { group.go { node.cancel(nil) } }
      for node in nodes.shuffled() { _ = node.context.done.receive() }
      group.wait()
      for node in nodes {
        found.check(node.context.shows(.cancelled))
        found.check(node.context.census! == (0, 0, false))
      }
    }
  }

  @Test func interlockedCancels() throws {
    try checking { found in
      let (parent, cancelParent) = Context.background.cancellable()
      let (child, cancelChild) = parent.cancellable()
      let ready = Channel<Never>()
      go {
        let done = parent.done
        ready.close()
        _ = done.receive()
        cancelChild(nil)
      }
      _ = ready.receive()
      cancelParent(nil)
      found.check(child.shows(.cancelled))
    }
  }

  @Test func aChildMadeWhileItsParentIsCancelled() throws {
    try checking { found in
      for _ in 0..<1000 {
        let (parent, cancel) = Context.background.cancellable()
        go { cancel(Reason("because")) }
        let (child, _) = parent.cancellable()
        _ = child.done.receive()
        found.check(child.failure == .cancelled && child.reason == Reason("because"))
      }
    }
  }

  @Test func causeIsSeenWithTheFailure() throws {
    try checking { found in
      for _ in 0..<1000 {
        let (context, cancel) = Context.background.cancellable()
        go { cancel(Reason("because")) }
        while context.cause == nil { Goroutine.yield() }
        found.check(context.reason == Reason("because"))
      }
    }
  }

  /// Polled by the test's own thread, which needs not be scheduled and so looks into the moment between the two.
  @Test func doneIsClosedWhenThereIsAFailure() throws {
    var open = 0
    for _ in 0..<2000 {
      let (context, cancel) = Context.background.cancellable()
      let done = context.done
      go { cancel(nil) }
      while context.failure == nil {}
      if !done.isClosed { open += 1 }
    }
    #expect(open == 0)
  }

  @Test func thereIsAFailureWhenDoneIsClosed() throws {
    try checking { found in
      for _ in 0..<1000 {
        let (context, cancel) = Context.background.cancellable()
        go { cancel(nil) }
        // Made before, during or after the cancellation.
        _ = context.done.receive()
        found.check(context.failure == .cancelled)
      }
    }
  }

  /// Whichever cancellation comes second, when it returns everything below is cancelled, though another does it.
  @Test func whenCancelReturnsAllBelowIsCancelled() throws {
    try checking { found in
      for _ in 0..<200 {
        let (top, cancelTop) = Context.background.cancellable()
        let (middle, cancelMiddle) = top.cancellable()
        let leaves = (0..<20).map { _ in middle.cancellable().context.cancellable().context }
        let start = Channel<Never>()
        let group = WaitGroup()
        for cancel in [cancelTop, cancelMiddle, cancelTop, cancelMiddle] {
          group.go {
            _ = start.receive()
            cancel(nil)
            for leaf in leaves { found.check(leaf.failure == .cancelled) }
            found.check(middle.failure == .cancelled)
          }
        }
        start.close()
        group.wait()
      }
    }
  }

  @Test func stopAndCancelRaceForABody() throws {
    try checking { found in
      let ran = Counter()
      var stopped = 0
      for _ in 0..<2000 {
        let (context, cancel) = Context.background.cancellable()
        let over = WaitGroup()
        over.add()
        let stop = context.onCancel {
          ran.add()
          over.done()
        }
        go { cancel(nil) }
        if stop() {
          stopped += 1
          over.done()
        }
        over.wait()
        found.check(!stop())
      }
      found.check(ran.count + stopped == 2000)
    }
  }

  @Test func timersAndCancelsRace() throws {
    try checking { found in
      for number in 0..<500 {
        let (context, cancel) = Context.background.timeout(.microseconds(number % 100))
        go { cancel(Reason("cancel")) }
        _ = context.done.receive()
        let isByCancel = context.failure == .cancelled && context.reason == Reason("cancel")
        let isByTimer = context.failure == .deadlineExceeded && context.cause as? Context.Failure == .deadlineExceeded
        found.check(isByCancel || isByTimer)
        found.check(context.census! == (0, 0, false))
      }
    }
  }
}
