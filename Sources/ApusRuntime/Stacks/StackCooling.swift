/// How sysmon gives the deep pages of stacks that lie in the pools back to the kernel (`StackWarmth.warm`).
///
/// A hundred times a second it looks how many of them nobody has needed since, and cools so many: a visit one batch, or
/// one in 32 for as long as half a millisecond, since Ps wait for its next one. Thousands are cooled in a second or two.
/// Before it waits for the first P to be taken it cools all of them: a process that is idle holds no memory of goroutines
/// that have ended but for the top of each stack and the Ps' caches, and these for some seconds (`StackScavenging`).
struct StackCooling: ~Copyable {
  /// How long a stack is not needed at least before it is cooled, in nanoseconds.
  private static var interval: Int64 { 10_000_000 }
  private static var longestVisit: Int64 { 500_000 }

  /// Of a batch, while it has left the pools. Empty between two visits.
  private var batch = StackCache(order: sched.pointee.stackPools.defaultOrder)
  private var next: Int64 = 0
  /// How many are yet to be cooled of those that were not needed.
  private var due = 0

  /// A part of what is due at `now`.
  mutating func visit(_ now: Int64, on m: MRef) {
    if !StackPools.has(.warm) { return }
    if now >= next {
      next = now &+ Self.interval
      due = StackPools.takeUnneeded(.warm, on: m)
    }
    let left = due - max(StackCache.capacity, due / 32)
    let end = Clock.nanotime() &+ Self.longestVisit
    while due > max(left, 0) {
      let cooled = StackPools.releaseUnneeded(.warm, atMost: due, by: &batch, on: m)
      due = cooled == 0 ? 0 : due - cooled
      if Clock.nanotime() >= end { return }
    }
  }

  /// All of them, as long as `isIdle` says so.
  mutating func finish(while isIdle: @autoclosure () -> Bool, on m: MRef) {
    while StackPools.has(.warm) && isIdle() {
      if StackPools.release(.warm, atMost: StackCache.capacity, by: &batch, on: m) == 0 { return }
    }
  }
}
