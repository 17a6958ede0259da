/// Times on the scheduler's clock, from durations of any size.
public enum Deadline {
  /// The time `duration` from now, in nanoseconds of the monotonic clock: never before `duration` has passed (it is
  /// rounded up), now for zero and below, and the latest time there is for what is too long (Go's `when`).
  public static func after(_ duration: Duration) -> Int64 {
    let now = Clock.nanotime()
    let (sum, overflow) = now.addingReportingOverflow(nanoseconds(of: duration))
    return overflow ? TimerHeap.latest : min(sum, TimerHeap.latest)
  }

  /// `duration` in nanoseconds, rounded up; 0 for below zero, `Int64.max` for more than that.
  public static func nanoseconds(of duration: Duration) -> Int64 {
    // A duration has 128 bits, and its components trap where the seconds do not fit into 64.
    if duration <= .zero { return 0 }
    if duration >= .nanoseconds(Int64.max) { return Int64.max }
    let (seconds, attoseconds) = duration.components
    return seconds * 1_000_000_000 + (attoseconds + 999_999_999) / 1_000_000_000
  }
}
