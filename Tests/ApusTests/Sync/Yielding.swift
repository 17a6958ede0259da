import Apus
import Glibc

/// Yields until `condition` holds, for at most ten seconds.
///
/// - Returns: Whether it came to hold.
func yieldUntil(_ condition: () -> Bool) -> Bool {
  let end = monotonicNanoseconds() + 10_000_000_000
  while !condition() {
    if monotonicNanoseconds() >= end { return false }
    Goroutine.yield()
  }
  return true
}

/// Nanoseconds on the monotonic clock.
func monotonicNanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
