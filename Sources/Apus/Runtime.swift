import ApusRuntime

/// The runtime's knobs and figures.
public enum Runtime {
  /// How many processors run goroutines at once (`GOMAXPROCS`). Setting it stops the world for a moment, also goroutines that
  /// compute. Below 1 it is left as it is; above 1024 it is 1024.
  public static var maxProcs: Int {
    get { MaxProcs.current }
    set { MaxProcs.set(newValue) }
  }

  /// The processors that the process may use, as its affinity mask said when it started.
  public static var cpuCount: Int { MaxProcs.cpuCount }

  /// The goroutines that live, the caller's among them; the runtime's own are not counted.
  public static var goroutineCount: Int { GoroutineRegistry.liveCount }

  /// From now on, keeps what a goroutine has on its stack elsewhere once it has waited for `delay`, and gives the memory of the
  /// stack back to the system: some 600 bytes are left of 4 KB and more. `APUS_SHELVE` does the same from the start on. A
  /// `delay` below 1 ms or above 24 h is reported to standard error the first time, and ignored. Another call sets another
  /// time.
  ///
  /// The content is back at its addresses before the goroutine goes on, or anybody else looks at it by a pointer, except the
  /// kernel: a system call that is given a pointer into the stack of a goroutine that waits fails with `EFAULT`, unless it
  /// is one of the runtime's own or of ApusNet's, and asynchronous I/O into it is lost. That is why nothing of the kind is
  /// done unasked. Stacks with more than 3 KB in use, and goroutines locked to threads, are left alone. So are all from then
  /// on when a part of the program has installed a handler of its own for `SIGSEGV`.
  ///
  /// To take a stack and bring it back costs some ten microseconds of a processor: a delay below some seconds is for tests.
  /// The memory of the main thread's goroutine stays as it is.
  ///
  /// - Returns: False where nothing changes: the delay is refused, the system cannot do it (it takes Linux 6.13 and `/proc`), or
  ///   the process is another program's, which has loaded this as a library.
  @discardableResult
  public static func shelveStacks(afterWaiting delay: Duration) -> Bool {
    Shelver.start(after: Deadline.nanoseconds(of: delay))
  }

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
