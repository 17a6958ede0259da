import CApus

/// Code of the runtime that a goroutine runs on its thread's own stack (Go's `systemstack`): it may need more than the
/// goroutine has left, and what is in use of the goroutine's stack is known meanwhile (`head.sp`), registers and all.
enum SystemStack {
  /// Calls `body` with `argument` there, in a section. The caller's thread may be any, and be there already. No closure: to
  /// make one that lasts as long as the call allocates.
  static func run<Argument>(
    _ argument: UnsafeMutablePointer<Argument>, _ body: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void
  ) {
    let m = acquireM()
    if m.pointee.isForeign || m.currentG == m.g0 {
      body(argument)
    } else {
      withUnsafeMutablePointer(to: &m.currentG.pointee.head.sp) { save in
        apus_system_stack(save, m.g0.pointee.head.sp, body, argument)
      }
    }
    // A section keeps its thread.
    releaseM(m)
  }
}
