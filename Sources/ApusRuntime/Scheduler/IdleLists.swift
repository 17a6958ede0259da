import Synchronization

/// The lists of Ms and Ps without work. The caller of each function holds `Sched.lock`.
enum IdleLists {
  /// Go's `pidleput`: `p` must have an empty queue, and no stopped thread may wait for a P.
  static func put(_ p: PRef) {
    assert(p.pointee.queue.isEmpty, "a P with work on the idle list")
    assert(!StoppedThreads.areWaiting, "a P on the idle list while a stopped thread waits for one")
    assert(sched.pointee.head.successor.load(ordering: .relaxed) == nil, "a P on the idle list while a successor waits")
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
    // From now on there is something to watch.
    Sysmon.wakeIfWaiting()
    WaitScan.noteBusy()
    return p
  }

  /// Calls `body` with each P on the list; as long as it is there nobody else touches it.
  static func eachP(_ body: (PRef) -> Void) {
    var next = sched.pointee.idleP
    while let p = next {
      body(p)
      next = p.pointee.link
    }
  }

  /// A P that nobody has: an idle one, or one that waits for a thread to be created, which is not needed then.
  static func takeFreeP() -> PRef? {
    if let p = takeP() { return p }
    guard let p = TemplateThread.takeP() else { return nil }
    if p.pointee.startsSpinning { sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    return p
  }

  /// Go's `mput`.
  static func put(_ m: MRef) {
    m.pointee.idleLink = sched.pointee.idleM
    m.pointee.isListedIdle = true
    sched.pointee.idleM = m
    sched.pointee.head.idleMCount.wrappingAdd(1, ordering: .relaxed)
  }

  /// Go's `mget`: the one that went idle last, whose caches are warmest.
  static func takeM() -> MRef? {
    guard let m = sched.pointee.idleM else {
      sched.pointee.lastShortage = Clock.nanotime()
      return nil
    }
    sched.pointee.idleM = m.pointee.idleLink
    m.pointee.idleLink = nil
    m.pointee.isListedIdle = false
    sched.pointee.head.idleMCount.wrappingSubtract(1, ordering: .relaxed)
    return m
  }

  /// Takes `m` off the list; false when it is not on it.
  static func remove(_ m: MRef) -> Bool {
    if !m.pointee.isListedIdle { return false }
    if sched.pointee.idleM == m {
      _ = takeM()
      return true
    }
    var before = sched.pointee.idleM.unsafelyUnwrapped
    while before.pointee.idleLink != m { before = before.pointee.idleLink.unsafelyUnwrapped }
    before.pointee.idleLink = m.pointee.idleLink
    m.pointee.idleLink = nil
    m.pointee.isListedIdle = false
    sched.pointee.head.idleMCount.wrappingSubtract(1, ordering: .relaxed)
    return true
  }
}
