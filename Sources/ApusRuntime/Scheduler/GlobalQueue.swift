import Synchronization

/// The queue that all Ps share (Go's `sched.runq`).
enum GlobalQueue {
  /// Puts `g` at its end.
  static func put(_ g: GRef) {
    let m = currentM()
    sched.pointee.lock.lock(m)
    sched.pointee.global.append(g)
    publishCount()
    sched.pointee.lock.unlock(m)
  }

  /// Puts a whole batch at its end, and takes it away from the caller.
  static func put(_ batch: inout GQueue) {
    let m = currentM()
    sched.pointee.lock.lock(m)
    while let g = batch.removeFirst() { sched.pointee.global.append(g) }
    publishCount()
    sched.pointee.lock.unlock(m)
  }

  /// Puts `count` goroutines at its end, those that `entry` gives for 0 and so on, and `g` after them.
  @inline(__always)
  static func put(_ count: Int, _ entry: (Int) -> GRef, andThen g: GRef) {
    let m = currentM()
    sched.pointee.lock.lock(m)
    // Over `Int`: in a debug build a range of anything else allocates, which nobody may here.
    for i in 0..<count { sched.pointee.global.append(entry(i)) }
    sched.pointee.global.append(g)
    publishCount()
    sched.pointee.lock.unlock(m)
  }

  /// Takes a fair share for `p` and returns the first of it; the rest goes to `p`'s ring (Go's `globrunqgetbatch`).
  /// `limit`: at most so many. The caller holds `Sched.lock`.
  static func take(for p: PRef, limit: Int) -> GRef? {
    let size = sched.pointee.global.count
    if size == 0 { return nil }
    let share = size / Int(sched.pointee.maxProcs.load(ordering: .relaxed)) + 1
    var n = min(min(size, share), min(limit, Int(RunQueue.capacity) / 2))
    let first = sched.pointee.global.removeFirst()
    n -= 1
    while n > 0, let g = sched.pointee.global.removeFirst() {
      // Half a ring at the most, into a ring that is empty or nearly so: there is room.
      OwnerQueue(p).put(g)
      n -= 1
    }
    publishCount()
    return first
  }

  /// Whether it holds anything; old by the time it is known.
  @inline(__always)
  static var isEmpty: Bool { sched.pointee.globalCount.load(ordering: .relaxed) == 0 }

  /// The same for the last spinner's second look (Spinning.swift). The caller holds `Sched.lock`.
  static var isEmptyInOrder: Bool { sched.pointee.global.count == 0 }

  private static func publishCount() {
    sched.pointee.globalCount.store(sched.pointee.global.count, ordering: .sequentiallyConsistent)
  }
}
