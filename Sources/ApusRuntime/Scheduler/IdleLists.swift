import Synchronization

/// The lists of Ms and Ps without work. The caller of each function holds `Sched.lock`.
enum IdleLists {
  /// Go's `pidleput`: `p` must have an empty queue.
  static func put(_ p: PRef) {
    assert(p.pointee.queue.isEmpty, "a P with work on the idle list")
    p.pointee.link = sched.pointee.idleP
    sched.pointee.idleP = p
    sched.pointee.idlePCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
  }

  /// Go's `pidleget`.
  static func takeP() -> PRef? {
    guard let p = sched.pointee.idleP else { return nil }
    sched.pointee.idleP = p.pointee.link
    p.pointee.link = nil
    sched.pointee.idlePCount.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    return p
  }

  /// Go's `mput`.
  static func put(_ m: MRef) {
    m.pointee.idleLink = sched.pointee.idleM
    sched.pointee.idleM = m
    sched.pointee.idleMCount.wrappingAdd(1, ordering: .relaxed)
  }

  /// Go's `mget`: the one that went idle last, whose caches are warmest.
  static func takeM() -> MRef? {
    guard let m = sched.pointee.idleM else { return nil }
    sched.pointee.idleM = m.pointee.idleLink
    m.pointee.idleLink = nil
    sched.pointee.idleMCount.wrappingSubtract(1, ordering: .relaxed)
    return m
  }
}
