import CApus
import Synchronization

/// The execution trace: what the scheduler tells of itself while one is on. Here are the hooks that need more than C knows;
/// the others call `apus_trace_…` themselves. Each site tests `isOn` first, and that is all that tracing costs while it is
/// off.
///
/// CApusTrace.h argues who writes which stream.
enum Trace {
  @inline(__always)
  static var isOn: Bool { apus_trace_is_on() }

  /// The current goroutine parks.
  @inline(never)
  static func block(_ reason: WaitReason, on m: MRef) {
    apus_trace_go_block(m.cM, UInt64(APUS_TRACE_STRING_BLOCK) + UInt64(reason.rawValue))
  }

  /// `g` is about to become runnable. Without a P on `m` that is told under `Sched.lock`.
  @inline(never)
  static func unblock(_ g: GRef, on m: MRef) {
    if m.pointee.p != nil {
      apus_trace_go_unblock(m.cM, g.cHead)
      return
    }
    sched.pointee.lock.lock(m)
    apus_trace_go_unblock_by_nobody(g.cHead)
    sched.pointee.lock.unlock(m)
  }

  /// `g` is about to run on `m`.
  @inline(never)
  static func start(_ g: GRef, on m: MRef) {
    apus_trace_go_start(m.cM, g.cHead, g.pointee.creation, beginning(of: g))
  }

  /// The current goroutine spawns `g`. Where a thread without a P does, it is told when `g` first runs.
  @inline(never)
  static func create(_ g: GRef, on m: MRef) {
    if m.pointee.p == nil { return }
    apus_trace_go_create(m.cM, g.cHead, g.pointee.creation, beginning(of: g))
  }

  /// The first word of what a goroutine that has not begun is to call: mostly the function that its spawner has given.
  private static func beginning(of g: GRef) -> UInt {
    apus_peek_word(g.payloadAddress)
  }

  @inline(never)
  static func beginSyscall(on m: MRef) {
    if m.pointee.p != nil { apus_trace_syscall_begin(m.cM) }
  }

  @inline(never)
  static func endSyscall(on m: MRef) {
    if m.pointee.p != nil && m.pointee.head.told == 0 { apus_trace_syscall_end(m.cM) }
  }

  /// The thread of `m` ends under its goroutine, which is never heard of again.
  @inline(never)
  static func abandon(on m: MRef) {
    if m.pointee.p != nil { apus_trace_go_destroy(m.cM) }
  }

  /// The current goroutine stops the world; false where it has no P, and nothing is told.
  @inline(never)
  static func beginStop(_ reason: StopTheWorld.Reason, on m: MRef) -> Bool {
    if m.pointee.p == nil { return false }
    apus_trace_stop_begin(m.cM, UInt64(APUS_TRACE_STRING_STOP) + UInt64(reason.rawValue))
    return true
  }

  /// The number of Ps has changed.
  @inline(never)
  static func countProcs() {
    let m = acquireM()
    if isOn && m.pointee.p != nil { countProcs(on: m) }
    releaseM(m)
  }

  static func countProcs(on m: MRef) {
    apus_trace_procs_change(m.cM, UInt64(sched.pointee.maxProcs.load(ordering: .relaxed)))
  }
}
