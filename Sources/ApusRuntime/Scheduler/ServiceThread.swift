import CApus
import Synchronization

/// Threads of the runtime that may wait for anything: for the disk, for malloc's lock, for another process. To the
/// scheduler they are like threads of somebody else's; no goroutine runs there, and no signal comes there.
///
/// The deadlock detector does not count them: a program in which nobody else can go on is dead. But while such a thread
/// stops the world, goroutines may wait for that, and these are not (`whileOthersWait`).
enum ServiceThread {
  /// Starts one, whose body calls `begin` first and `end` last; 0 or an errno.
  static func start(_ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?) -> Int32 {
    let m = ForeignThread.takeRecord()
    let error = Thread.start(body, UnsafeMutableRawPointer(m), stackSize: stackSize)
    if error != 0 { ThreadRecord.free(m) }
    return error
  }

  /// Names are demangled there. The demangler calls itself as deep as types are nested.
  private static var stackSize: Int { 1 << 20 }

  /// The calling thread, started with `argument`, is one of them from now on.
  static func begin(_ argument: UnsafeMutableRawPointer?, name: StaticString) -> MRef {
    let m = argument.unsafelyUnwrapped.assumingMemoryBound(to: M.self)
    Threads.makeCurrent(m)
    Thread.setName(name)
    Thread.blockSignals()
    DeadlockDetector.countItself(m)
    return m
  }

  /// It is no more, and uses nothing of the runtime any more that needs an M.
  static func end(_ m: MRef) {
    sched.pointee.lock.lock(m)
    sched.pointee.deadlock.sleepers -= 1
    DeadlockDetector.checkAndUnlock(m)
    apus_set_current_m(nil)
    ThreadRecord.free(m)
  }

  /// Calls `body`, which stops the world. Who waits until the world is free is not dead: this thread wakes him, and is not
  /// in the detector's count.
  static func whileOthersWait(_ m: MRef, _ body: () -> Void) {
    countAsForeign(1, on: m)
    body()
    countAsForeign(-1, on: m)
  }

  private static func countAsForeign(_ difference: Int64, on m: MRef) {
    sched.pointee.lock.lock(m)
    sched.pointee.deadlock.foreign += difference
    DeadlockDetector.checkAndUnlock(m)
  }
}
