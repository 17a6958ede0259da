import CApus
import Synchronization

/// Whether another thread of the process runs or sleeps in the kernel.
enum ThreadState {
  /// Where that is read. Some sandboxes refuse the first; the second is always readable, but without the order that the
  /// first one has by itself.
  enum Source: UInt8 {
    case syscallFile
    case statFile
    case none
  }

  /// Whether the thread of `m` sleeps now. Three microseconds.
  static func sleeps(_ m: MRef) -> Bool {
    switch source {
    case .syscallFile:
      Int(apus_thread_state_by_syscall(m.pointee.head.tid)) == Int(APUS_THREAD_SLEEPS)
    case .statFile: Int(apus_thread_state_by_stat(m.pointee.head.tid)) == Int(APUS_THREAD_SLEEPS)
    case .none: false
    }
  }

  /// The same, and in order: what the caller wrote before is seen by the thread when it wakes, and what that wrote before
  /// it fell asleep is seen by the caller.
  static func sleepsInOrder(_ m: MRef) -> Bool {
    if source == .statFile && !ThreadBarrier.run() { return false }
    return sleeps(m)
  }

  /// The best source that works, tried on another thread, `m`'s: of itself a thread is told something else.
  static func probe(_ m: MRef) -> Source {
    let unknown = Int32(APUS_THREAD_UNKNOWN)
    let bySyscall = apus_thread_state_by_syscall(m.pointee.head.tid)
    if bySyscall != unknown { return .syscallFile }
    return apus_thread_state_by_stat(m.pointee.head.tid) != unknown ? .statFile : .none
  }

  private static var source: Source {
    Source(rawValue: sched.pointee.threadStateSource.load(ordering: .relaxed)).unsafelyUnwrapped
  }
}
