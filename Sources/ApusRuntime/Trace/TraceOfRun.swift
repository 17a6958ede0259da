import CApus
import Synchronization

/// The traces of programs: of the whole run, for which the environment asks, and of a part.
package enum TraceOfRun {
  /// APUS_TRACE: begins the trace that lasts until the process ends, by `exit`, by the end of `main` or with a fatal report.
  /// Goroutine 1 calls it before anything of the program runs.
  static func begin() {
    if let path = sched.pointee.knobs.tracePath { _ = TraceSession.begin(path) }
  }

  /// Begins a trace into the file at `path`; false when there is none, which standard error was told.
  package static func begin(_ path: String) -> Bool {
    path.withCString { TraceSession.begin($0) }
  }

  /// Ends what `begin` has begun.
  package static func end() { TraceSession.end() }

  /// After how many bytes of events a generation ends.
  package static var standardGenerationSize: Int { 16 << 20 }

  /// Generations are to have so many bytes of events or a buffer more: for tests, which want many.
  package static func setGenerationSize(_ bytes: Int) {
    LazyStart.ensure()
    sched.pointee.trace.limit.store(bytes, ordering: .relaxed)
  }

  /// The number of the generation that events are written to: for tests.
  package static var generation: UInt64 { apus_trace_generation() }

  /// A report was written and the process is about to end.
  static func endForReport() {
    if apus_get_sched() != nil { TraceSession.endForReport() }
  }
}
