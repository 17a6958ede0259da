import ApusRuntime

/// The runtime's knobs and figures.
public enum Runtime {
  /// How many processors run goroutines at once (`GOMAXPROCS`). Setting it stops the world for a moment, also goroutines that
  /// compute. Below 1 it is left as it is; above 1024 it is 1024.
  public static var maxProcs: Int {
    get { ProcessorKnob.maxProcs }
    set { ProcessorKnob.setMaxProcs(newValue) }
  }

  /// The processors that the process may use, as its affinity mask said when it started.
  public static var cpuCount: Int { ProcessorKnob.cpuCount }

  /// The goroutines that live, the caller's among them; the runtime's own are not counted.
  public static var goroutineCount: Int { ProcessorKnob.goroutineCount }

  /// Writes an execution trace of what the program does during `body` to the file at `path`, which is created or emptied,
  /// and returns what `body` returns. `go tool trace` of Go 1.25 and later opens it: every goroutine's states and why it
  /// waited, processors, system calls, preemptions, collections, with stacks, and what the program says by `Trace`.
  ///
  /// There is one trace at a time. Where there is one already, or the file cannot be written, standard error is told, and
  /// `body` runs untraced. The world stops for a moment at the beginning, at the end, and at every 16 MB of events. An event
  /// costs some 50 nanoseconds and ten bytes. To trace a whole run, set `APUS_TRACE` to the file's path.
  public static func writeTrace<R>(to path: String, during body: () throws -> R) rethrows -> R {
    let isOn = TraceOfRun.begin(path)
    defer { if isOn { TraceOfRun.end() } }
    return try body()
  }

  /// Has `body` called before `main`, on goroutine 1, in the order of registration, when it is called from a link-time
  /// initialiser (a function pointer in the section `.init_array`). Later it calls `body` at once.
  public static func onStart(_ body: @escaping @Sendable () -> Void) {
    StartHooks.register(body)
  }
}
