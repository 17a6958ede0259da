import CApus
import Synchronization

/// Threads that the runtime did not make: a test runner's, libdispatch's, a pthread. Each that uses the runtime gets an M
/// without a P and a goroutine record that is its stand-in: a blocking operation blocks the thread.
public enum ForeignThread {
  /// Makes the calling thread known. Starts the runtime first when nothing has.
  @inline(never)
  @usableFromInline
  static func adopt() -> MRef {
    LazyStart.ensure()
    // The thread that starts the runtime has its M from then on.
    if let m = currentMOrNil() { return m }
    let m = takeRecord()
    Threads.makeCurrent(m)
    CPUProfiler.threadBegins(m)
    armThreadEnd(m)
    return m
  }

  /// A record for such a thread, which is nobody's yet.
  static func takeRecord() -> MRef {
    let m = Threads.take(id: -1)
    m.pointee.isForeign = true
    m.g0.pointee.kind = .foreign
    m.g0.pointee.setStatus(.running)
    m.g0.pointee.head.stack_lo = 0
    m.g0.pointee.head.stack_hi = 0
    m.pointee.accessListHead = nil
    m.pointee.taskWord = nil
    m.pointee.taskLocalsWord = nil
    return m
  }

  /// Parks the stand-in: blocks the thread until `wake`.
  static func wait(_ g: GRef, on m: MRef, unlocking unlock: () -> Void) {
    // Cleared before the lock is released: whoever wakes it has to find it under the lock first.
    m.pointee.foreignNote.clear()
    unlock()
    Timers.announce(m)
    m.pointee.foreignNote.sleep()
    g.pointee.setStatus(.running)
  }

  /// Wakes a parked stand-in.
  static func wake(_ g: GRef) {
    g.pointee.lockedM.unsafelyUnwrapped.pointee.foreignNote.wake()
  }

  /// Has the record given back when the thread ends.
  static func armThreadEnd(_ m: MRef) {
    sched.pointee.lock.lock(m)
    sched.pointee.deadlock.foreign += 1
    sched.pointee.lock.unlock(m)
    apus_thread_end_arm(
      { argument in
        guard let m = argument?.assumingMemoryBound(to: M.self) else { return }
        // The main thread may have been one and be m0 by now.
        if !m.pointee.isForeign { return }
        CPUProfiler.threadEnds(m)
        sched.pointee.lock.lock(m)
        sched.pointee.deadlock.foreign -= 1
        DeadlockDetector.checkAndUnlock(m)
        apus_set_current_m(nil)
        ThreadRecord.free(m)
      }, UnsafeMutableRawPointer(m))
  }
}
