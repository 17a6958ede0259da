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

  /// Has `body` called before `main`, on goroutine 1, in the order of registration, when it is called from a link-time
  /// initialiser (a function pointer in the section `.init_array`). Later it calls `body` at once.
  public static func onStart(_ body: @escaping @Sendable () -> Void) {
    StartHooks.register(body)
  }
}
