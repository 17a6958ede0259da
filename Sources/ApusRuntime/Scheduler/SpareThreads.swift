import CApus
import Synchronization

/// Idle Ms that a signal handler may take (`preempt.c` takes them by exchange, without a lock): a goroutine can only
/// be stopped when there is a thread to run the next one.
///
/// The first Ms to go idle are kept here, the others on the idle list. Both are counted as idle. sysmon sees to it that
/// there is one before it asks for a goroutine to be stopped.
enum SpareThreads {
  private static func place(_ index: Int) -> UnsafeMutablePointer<Atomic<MRef?>> {
    UnsafeMutableRawPointer(mutating: UnsafeRawPointer(sched)).assumingMemoryBound(to: Atomic<MRef?>.self) + index
  }

  private static var places: Int { 4 }

  /// How many of them are filled: a small program is to have few threads at rest (`IdleThreads.kept`). Beside the spares
  /// there may be m0's, which cannot end, and one that waits for the clock.
  private static var wanted: Int {
    let processors = Int(sched.pointee.maxProcs.load(ordering: .relaxed))
    return min(max(processors / 2, min(processors, 2)), places)
  }

  /// Whether there is none.
  static var areMissing: Bool { filled == 0 }

  private static var filled: Int {
    var count = 0
    for index in 0..<places where place(index).pointee.load(ordering: .relaxed) != nil { count += 1 }
    return count
  }

  /// Keeps `m`, which is about to sleep; false when there are enough. The caller holds `Sched.lock`, so only handlers
  /// change the places meanwhile, and those empty them.
  ///
  /// It is put where the handler looks first that runs on the caller's CPU: if the caller is `m`'s thread, there the
  /// kernel will wake it.
  static func put(_ m: MRef) -> Bool {
    let own = Int(apus_spare_place())
    if filled >= wanted { return false }
    for offset in 0..<places {
      let index = (own + offset) % places
      if place(index).pointee.load(ordering: .relaxed) != nil { continue }
      sched.pointee.head.idleMCount.wrappingAdd(1, ordering: .relaxed)
      place(index).pointee.store(m, ordering: .releasing)
      return true
    }
    return false
  }

  /// Takes one; nil when there is none. The caller holds `Sched.lock`.
  static func take() -> MRef? {
    for index in 0..<places {
      guard let m = place(index).pointee.exchange(nil, ordering: .acquiringAndReleasing) else { continue }
      sched.pointee.head.idleMCount.wrappingSubtract(1, ordering: .relaxed)
      return m
    }
    return nil
  }

  /// Sees to it that a goroutine can be stopped: that there is a spare; or, while one is being created, which may take as
  /// long as a stopped goroutine holds the lock of malloc, that another stopped thread takes over (`SchedHead.successor`).
  /// Only sysmon calls it, on `m`. The successor is taken back at its next visit, or when a P goes idle before.
  static func ensure(_ m: MRef) {
    if !areMissing { return }
    sched.pointee.lock.lock(m)
    if !areMissing {
      sched.pointee.lock.unlock(m)
    } else if let idle = IdleLists.takeM() {
      if !put(idle) { IdleLists.put(idle) }
      sched.pointee.lock.unlock(m)
    } else {
      if sched.pointee.head.successor.load(ordering: .relaxed) == nil, let next = StoppedThreads.takeSuccessor() {
        // The handler that gives it a P counts no sample: that is left out.
        next.currentG.pointee.setStatus(.running)
        sched.pointee.head.successor.store(next, ordering: .releasing)
      }
      TemplateThread.requestSpare(holdingLockOf: m)
    }
  }

  /// Takes a successor back that nobody has needed.
  static func reclaimSuccessor(_ m: MRef) {
    if sched.pointee.head.successor.load(ordering: .relaxed) == nil { return }
    sched.pointee.lock.lock(m)
    reclaimSuccessorLocked()
    sched.pointee.lock.unlock(m)
  }

  /// The same under `Sched.lock`: before a P goes idle, too. It waits for a P as those in the queues do, and with all of
  /// them idle sysmon makes no visits.
  static func reclaimSuccessorLocked() {
    guard sched.pointee.head.successor.load(ordering: .relaxed) != nil,
      let next = sched.pointee.head.successor.exchange(nil, ordering: .acquiringAndReleasing)
    else { return }
    StoppedThreads.enqueue(next, inFront: true)
  }
}
