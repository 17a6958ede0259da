import Apus
import Testing

/// `onCancel`.
@Suite struct ContextHookTests {
  @Test func runsAfterACancel() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let ran = Channel<Goroutine.ID?>(capacity: 1)
      let stop = context.onCancel { ran.send(Goroutine.current) }
      for _ in 0..<100 { Goroutine.yield() }
      found.check(ran.count == 0, "it ran before the context was cancelled")
      cancel(nil)
      let id = ran.receive()!
      found.check(id != nil && id != Goroutine.current, "it ran in the goroutine that cancelled")
      found.check(!stop())
    }
  }

  @Test func runsAfterATimeout() throws {
    try checking { found in
      let (context, _) = Context.background.timeout(.milliseconds(1))
      let ran = Channel<Context.Failure?>()
      context.onCancel { ran.send(context.failure) }
      found.check(ran.receive()! == .deadlineExceeded)
    }
  }

  @Test func runsAtOnceWhereTheContextIsCancelled() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      cancel(nil)
      let ran = Channel<Never>()
      let stop = context.onCancel { ran.close() }
      found.check(!stop())
      _ = ran.receive()
    }
  }

  @Test func doesNotRunAfterAStop() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let ran = Counter()
      let stop = context.onCancel { ran.add() }
      found.check(stop())
      found.check(!stop())
      let other = Channel<Never>()
      _ = context.onCancel { other.close() }
      cancel(nil)
      _ = other.receive()
      for _ in 0..<100 { Goroutine.yield() }
      found.check(ran.count == 0)
      found.check(!stop())
    }
  }

  @Test func cancelDoesNotWaitForIt() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let meeting = Channel<Int>()
      _ = context.onCancel { meeting.send(1) }
      cancel(nil)
      found.check(meeting.receive() == 1)
    }
  }

  @Test func eachCallIsOneOfItsOwn() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let group = WaitGroup()
      let ran = Counter()
      var stops: [@Sendable () -> Bool] = []
      for _ in 0..<100 {
        group.add()
        stops.append(
          context.onCancel {
            ran.add()
            group.done()
          })
      }
      for stop in stops.prefix(50) {
        found.check(stop())
        group.done()
      }
      cancel(nil)
      group.wait()
      found.check(ran.count == 50)
      found.check(stops.allSatisfy { !$0() })
    }
  }

  @Test func aContextThatCannotBeCancelledNeverRunsIt() throws {
    try checking { found in
      for context in [Context.background, Context.background.cancellable().context.detached()] {
        let ran = Counter()
        let stop = context.onCancel { ran.add() }
        found.check(stop())
        found.check(!stop())
        found.check(ran.count == 0)
      }
    }
  }

  @Test func mayUseTheContextAndItsCancel() throws {
    try checking { found in
      let (context, cancel) = Context.background.cancellable()
      let ran = Channel<Bool>()
      let key = Context.Key<Int>()
      _ = context.with(key, 1).onCancel {
        cancel(Reason("second"))
        let again = Channel<Never>()
        _ = context.onCancel { again.close() }
        _ = again.receive()
        ran.send(context.reason == Reason("first") && context.cancellable().context.failure == .cancelled)
      }
      cancel(Reason("first"))
      found.check(ran.receive() == true)
    }
  }

  /// What a body holds is released outside the context's lock: its `deinit` may use the context.
  @Test func releasesWhatABodyHolds() throws {
    try checking { found in
      final class Prober: Sendable {
        let context: Context
        let cancel: @Sendable ((any Error)?) -> Void
        let released: Counter
        init(_ context: Context, _ cancel: @escaping @Sendable ((any Error)?) -> Void, _ released: Counter) {
          (self.context, self.cancel, self.released) = (context, cancel, released)
        }
        deinit {
          _ = context.cancellable()
          _ = context.onCancel {}()
          cancel(nil)
          released.add()
        }
      }
      let released = Counter()
      func probe(_ context: Context, _ cancel: @escaping @Sendable ((any Error)?) -> Void) -> @Sendable () -> Bool {
        let prober = Prober(context, cancel, released)
        return context.onCancel { _ = prober.released }
      }
      let (stopped, cancelStopped) = Context.background.cancellable()
      found.check(probe(stopped, cancelStopped)())
      found.check(released.count == 1)
      let (run, cancelRun) = Context.background.cancellable()
      _ = probe(run, cancelRun)
      cancelRun(nil)
      while released.count < 2 { Goroutine.yield() }
    }
  }

  /// So is what a timer holds, and only when the context is cancelled for those who wait for that.
  @Test func releasesTheCauseOfATimeout() throws {
    try checking { found in
      final class Prober: Error, @unchecked Sendable {
        // Unchecked: set once, before the context is cancelled.
        var cancel: (@Sendable ((any Error)?) -> Void)?
        let released: Counter
        init(_ released: Counter) { self.released = released }
        deinit {
          cancel?(nil)
          released.add()
        }
      }
      let released = Counter()
      func limited() -> @Sendable ((any Error)?) -> Void {
        let prober = Prober(released)
        let (_, cancel) = Context.background.timeout(.seconds(3600), cause: prober)
        prober.cancel = cancel
        return cancel
      }
      let cancel = limited()
      found.check(released.count == 0, "the timer does not keep the cause")
      cancel(nil)
      found.check(eventually { released.count == 1 }, "the timer still keeps the cause")
    }
  }
}
