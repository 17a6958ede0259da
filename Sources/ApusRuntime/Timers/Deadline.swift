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
    let (seconds, attoseconds) = duration.components
    if seconds < 0 || attoseconds < 0 { return 0 }
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return Int64.max }
    let (sum, overflowed) = whole.addingReportingOverflow((attoseconds + 999_999_999) / 1_000_000_000)
    return overflowed ? Int64.max : sum
  }
}
