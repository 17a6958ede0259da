import CApus

/// Reports that a signal asks for.
///
/// A handler cannot write a report: the thread that it interrupts may hold any lock. So it leaves the signal where sysmon
/// finds it, and wakes sysmon, which needs no P and waits for nobody: the report comes whatever the goroutines do. They go
/// on until it stops them.
enum ReportRequest {
  /// From now on SIGQUIT ends the process with a report. Go does so even where the process was started with SIGQUIT ignored.
  static func takeQuitSignal() {
    guard apus_signal_request_install(SignalName.quit) == 0 else {
      FatalReport.fatalError("runtime: cannot install the handler of SIGQUIT")
    }
  }

  /// Ends the process if a signal has asked for that. sysmon looks whenever its sleep has ended, after it has cleared the
  /// word on which it sleeps; the handler sets that word last.
  @inline(__always)
  static func serve() {
    if let signal = apus_request() { FatalReport.requested(signal.pointee) }
  }
}
