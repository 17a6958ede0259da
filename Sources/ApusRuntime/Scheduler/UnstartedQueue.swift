import Synchronization

/// Goroutines that have not begun and have to wait, since many preempted threads wait already (`StoppedThreads.many`).
///
/// A goroutine costs a thread only when it is stopped in the middle. A thousand hogs that all begin would be a thousand
/// threads; so at the limit those that have begun go on first, and what has not begun is put aside here when it comes to
/// its turn: out of the way of goroutines that were only parked, which must not wait behind it. Now and then one begins all
/// the same, as it may be the one that all the hogs wait for; the more threads there are, the more rarely. (Goroutines that
/// began, waited, and turn out to be hogs only then are not put aside: they cost a thread each.)
enum UnstartedQueue {
  /// Whether anybody waits here.
  @inline(__always)
  static var isEmpty: Bool { sched.pointee.unstartedCount.load(ordering: .relaxed) == 0 }

  /// Puts `g`, which was taken off a queue to be run by `m`, aside if it is unstarted and has to wait; true when it did.
  @inline(__always)
  static func defers(_ g: GRef, on m: MRef) -> Bool {
    StoppedThreads.areMany && g.pointee.needsCare & G.hasNoStack != 0 && g.pointee.kind == .user && put(g, m)
  }

  @inline(never)
  private static func put(_ g: GRef, _ m: MRef) -> Bool {
    sched.pointee.lock.lock(m)
    sched.pointee.unstarted.append(g)
    publishCount()
    sched.pointee.lock.unlock(m)
    return true
  }

  /// The oldest, if there are not many preempted threads any more; nothing else is runnable but those.
  static func take(on m: MRef) -> GRef? {
    StoppedThreads.areMany ? nil : takeFirst(m)
  }

  /// The oldest, if it has waited for its turn for so long that it comes before others.
  @inline(__always)
  static func takeDue(on m: MRef) -> GRef? {
    isEmpty || !sched.pointee.unstartedIsDue.load(ordering: .relaxed) ? nil : takeFirst(m)
  }

  @inline(never)
  private static func takeFirst(_ m: MRef) -> GRef? {
    if isEmpty { return nil }
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    sched.pointee.unstartedIsDue.store(false, ordering: .relaxed)
    sched.pointee.lastUnstarted.store(Clock.nanotime(), ordering: .relaxed)
    let g = sched.pointee.unstarted.removeFirst()
    publishCount()
    return g
  }

  /// How long after the last one the next may begin, in nanoseconds, beside `count` preempted threads: 20 ms at the limit,
  /// twice that for every four threads more, up to 1.3 s.
  package static func interval(preempted count: Int) -> Int64 {
    20_000_000 << Int64(min(max((count &- StoppedThreads.many) / 4, 0), 6))
  }

  /// Called by sysmon: whether one is due, and when the next one will be.
  static func remind(_ now: Int64) -> Int64 {
    if isEmpty { return Int64.max }
    let count = sched.pointee.preempted.count.load(ordering: .relaxed)
    let due = sched.pointee.lastUnstarted.load(ordering: .relaxed) &+ interval(preempted: count)
    if due > now { return due }
    sched.pointee.unstartedIsDue.store(true, ordering: .relaxed)
    return now &+ interval(preempted: count)
  }

  private static func publishCount() {
    sched.pointee.unstartedCount.store(sched.pointee.unstarted.count, ordering: .sequentiallyConsistent)
  }
}
