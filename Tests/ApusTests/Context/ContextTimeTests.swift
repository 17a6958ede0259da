import Apus
import Testing

private let long = Duration.seconds(3_600_000)
private let short = Duration.milliseconds(1)

@Suite struct ContextTimeTests {
  @Test func deadlinesPass() throws {
    try checking { found in
      let background = Context.background
      func expires(_ context: Context, line: Int = #line) {
        _ = context.done.receive()
        found.check(context.shows(.deadlineExceeded), "\(context)", line: line)
        found.check(context.cause as? Context.Failure == .deadlineExceeded, "\(context)", line: line)
      }
      expires(background.deadline(.now + short).context)
      expires(background.timeout(short).context)
      expires(background.timeout(short).context.with(Context.Key<Int>(), 1))
      // One that is later than the parent's.
      expires(background.deadline(.now + short).context.deadline(.now + long).context)
      expires(background.timeout(short).context.timeout(long).context)
      expires(background.timeout(short).context.cancellable().context)
    }
  }

  @Test func noDeadlinePassesEarly() throws {
    try checking { found in
      for milliseconds in [1, 3, 20] {
        let start = ContinuousClock.now
        let (context, _) = Context.background.timeout(.milliseconds(milliseconds))
        _ = context.done.receive()
        found.check(ContinuousClock.now - start >= .milliseconds(milliseconds))
      }
    }
  }

  @Test(arguments: [
    Duration.zero, .milliseconds(-1), .seconds(Int64.min), .zero - .seconds(Int64.max),
    .seconds(Int64.min) + .seconds(Int64.min),
  ])
  func whatHasPassedIsCancelledFromTheStart(_ timeout: Duration) throws {
    try checking { found in
      let (context, cancel) = Context.background.timeout(timeout, cause: Reason("too slow"))
      found.check(context.shows(.deadlineExceeded))
      found.check(context.reason == Reason("too slow"))
      found.check(context.census! == (0, 0, false), "it has a timer")
      cancel(Reason("late"))
      found.check(context.failure == .deadlineExceeded && context.reason == Reason("too slow"))
      found.check(Context.background.deadline(.now).context.shows(.deadlineExceeded))
      found.check(Context.background.deadline(.now - .seconds(1)).context.shows(.deadlineExceeded))
    }
  }

  @Test(arguments: [
    Duration.seconds(Int64.max), .seconds(Int64.max) + .seconds(Int64.max), .nanoseconds(Int64.max),
  ])
  func theLongestTimeoutsDoNotPass(_ timeout: Duration) throws {
    try checking { found in
      let (context, cancel) = Context.background.timeout(timeout)
      found.check(context.shows(nil))
      found.check(context.deadline! > .now + long)
      cancel(nil)
      found.check(context.shows(.cancelled))
      let (other, cancelOther) = Context.background.deadline(.now + timeout + timeout)
      found.check(other.shows(nil))
      found.check(other.description.hasPrefix("Context.background.deadline(in "))
      cancelOther(nil)
    }
  }

  @Test func aCancelComesBeforeTheTimeout() throws {
    try checking { found in
      let (parent, cancelParent) = Context.background.timeout(long)
      let (context, cancel) = parent.with(Context.Key<Int>(), 1).timeout(long * 2)
      cancel(nil)
      found.check(context.shows(.cancelled))
      found.check(parent.shows(nil))
      cancelParent(nil)
    }
  }

  @Test func theEarlierDeadlineCounts() throws {
    try checking { found in
      let now = ContinuousClock.now
      let (parent, cancel) = Context.background.deadline(now + long)
      found.check(parent.deadline == now + long)
      found.check(parent.with(Context.Key<Int>(), 1).deadline == now + long)
      found.check(parent.cancellable().context.deadline == now + long)
      let later = parent.deadline(now + long * 2).context
      found.check(later.deadline == now + long)
      found.check(later.census! == (0, 0, false), "the parent's timer was enough")
      found.check(parent.deadline(now + long).context.census! == (0, 0, false))
      let earlier = parent.deadline(now + long / 2).context
      found.check(earlier.deadline == now + long / 2)
      found.check(earlier.census! == (0, 0, true))
      found.check(parent.shows(nil))
      cancel(nil)
      found.check(earlier.shows(.cancelled) && later.shows(.cancelled))
    }
  }

  @Test func cancellingReleasesTheTimer() throws {
    try checking { found in
      let tokens = Counter()
      do {
        let (parent, cancelParent) = Context.background.cancellable()
        for _ in 0..<100 {
          let (timed, cancel) = parent.timeout(long, cause: Held(tokens))
          found.check(timed.census! == (0, 0, true))
          cancel(nil)
          found.check(timed.census! == (0, 0, false))
        }
        // By the parent.
        let timed = (0..<100).map { _ in parent.timeout(long, cause: Held(tokens)).context }
        cancelParent(nil)
        found.check(timed.allSatisfy { $0.census! == (0, 0, false) })
      }
      // Nothing that the timers referred to is kept until an hour has passed.
      found.check(tokens.count == 0, "\(tokens.count) timers are kept")
    }
  }

  @Test func aTimeoutIsAnotherReasonThanACancel() throws {
    try checking { found in
      let (context, _) = Context.background.timeout(short, cause: Reason("too slow"))
      _ = context.done.receive()
      found.check(context.failure == .deadlineExceeded && context.reason == Reason("too slow"))
      let (cancelled, cancel) = Context.background.timeout(long, cause: Reason("too slow"))
      cancel(nil)
      found.check(cancelled.failure == .cancelled && cancelled.cause as? Context.Failure == .cancelled)
    }
  }
}

/// An error of which it is known how many there are.
final class Held: Error {
  private let count: Counter
  init(_ count: Counter) {
    self.count = count
    count.add()
  }
  deinit { count.add(-1) }
}
