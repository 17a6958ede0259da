import CApus
import Synchronization

/// Start-up where our entry point did not run (a dynamic library in another program, a linker that dropped the flag), or
/// ran but a link-time initialiser uses the runtime before `rt0_main`: everything but m0 and goroutine 1, at the first
/// use, on the thread that uses it.
enum LazyStart {
  /// Starts the runtime unless it runs. Afterwards the calling thread has an M if it started the runtime itself.
  static func ensure() {
    if apus_is_started() { return }
    apus_start_lock()
    defer { apus_start_unlock() }
    if apus_is_started() { return }
    var trace = BootTrace(environment: UnsafePointer(apus_environ()))
    trace.step("lazystart", "the entry point has not started the runtime")
    let m = Boot.initialize(&trace, mainThread: false)
    m.pointee.isForeign = true
    m.g0.pointee.kind = .foreign
    // With our entry point `main` comes yet, and the process is ours.
    Boot.installHandlers(isGuest: apus_get_initial_sp() == 0)
    sched.pointee.bootTrace = trace
    sched.pointee.mainStarted.store(true, ordering: .relaxed)
    ForeignThread.armThreadEnd(m)
    TemplateThread.start()
    // Last: another thread goes on as soon as it sees this, and nothing would be repeated for what it submits.
    apus_set_started()
  }
}
