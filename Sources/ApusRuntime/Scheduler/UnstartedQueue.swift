import Synchronization

/// Goroutines that have not begun and have to wait, since many preempted threads wait already (`StoppedThreads.many`).
///
/// A goroutine costs a thread only when it is stopped in the middle. A thousand hogs that all begin would be a thousand
/// threads; so at the limit those that have begun go on first, and what has not begun is put aside here when it comes to
/// its turn: out of the way of goroutines that were only parked, which must not wait behind it. Now and then one begins all
/// the same, as it may be the one that all the hogs wait for; the more threads there are, the more rarely.
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

  /// The oldest, if it may begin: nothing else is runnable but preempted threads, or it is its turn in spite of them.
  static func take(on m: MRef) -> GRef? {
    if isEmpty { return nil }
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    if StoppedThreads.areMany {
      sched.pointee.unstartedTurn &+= 1
      if sched.pointee.unstartedTurn % interval != 0 { return nil }
    }
    let g = sched.pointee.unstarted.removeFirst()
    publishCount()
    return g
  }

  /// At the limit one pick in sixteen; four times as rare with each eight threads more.
  private static var interval: UInt32 {
    let excess = sched.pointee.preempted.count.load(ordering: .relaxed) &- StoppedThreads.many
    return 16 << UInt32(2 * min(max(excess / 8, 0), 10))
  }

  private static func publishCount() {
    sched.pointee.unstartedCount.store(sched.pointee.unstarted.count, ordering: .sequentiallyConsistent)
  }
}
