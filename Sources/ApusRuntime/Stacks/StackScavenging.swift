/// How sysmon gives the topmost pages of stacks that lie in the pools back to the kernel (`StackWarmth.cool`), as the
/// scavenger does with the heap's memory: without haste. After a crowd of goroutines has ended, what they had is the
/// system's again some seconds later. In an idle process, too; for so long sysmon wakes up there.
///
/// Once in a second it looks how many of them nobody has needed since; to release these takes it a hundredth of a
/// processor. Ps that have been idle all the time lose what lies in their caches.
struct StackScavenging: ~Copyable {
  /// How long a stack is not needed at least before its last memory goes, in nanoseconds.
  private static var interval: Int64 { 1_000_000_000 }
  private static var share: Int64 { 100 }
  /// What it may be late with: the longest time from one visit to the next beside goroutines that run.
  private static var arrears: Int64 { 10_000_000 }
  private static var longestVisit: Int64 { 500_000 }

  /// Of a batch, while it has left the pools. Empty between two visits.
  private var batch = StackCache(order: sched.pointee.stackPools.defaultOrder)
  private var nextLook: Int64 = 0
  /// When it has paused for long enough.
  private var nextBatch: Int64 = 0
  /// How many are yet to be released of those that were not needed.
  private var due = 0
  /// All Ps were idle at the last look, and had no stack.
  private var cachesAreEmpty = false

  /// When there is something to be done in an idle process; `Int64.max` for never.
  var next: Int64 {
    if !StackPools.has(.cool) { return cachesAreEmpty ? Int64.max : nextLook }
    return due > 0 ? min(nextLook, nextBatch) : nextLook
  }

  /// A part of what is due at `now`. Some Ps run if not `isIdle`.
  mutating func visit(_ now: Int64, isIdle: Bool, on m: MRef) {
    if !isIdle { cachesAreEmpty = false }
    if now >= nextLook {
      nextLook = now &+ Self.interval
      cachesAreEmpty = !StackPools.releaseIdle(by: &batch, on: m) && isIdle
      due = StackPools.takeUnneeded(.cool, on: m)
    }
    nextBatch = max(nextBatch, now &- Self.arrears)
    while due > 0 && nextBatch <= now {
      let start = Clock.threadTime()
      let released = StackPools.releaseUnneeded(.cool, atMost: due, by: &batch, on: m)
      due = released == 0 ? 0 : due - released
      nextBatch &+= max(Clock.threadTime() - start, 1) * Self.share
      if Clock.nanotime() &- now >= Self.longestVisit { return }
    }
  }
}
