import ApusRuntime

/// What the scheduler has done and has at hand. Taken while everybody runs: figures that change together may be of
/// different moments.
public struct SchedulerStatistics: Sendable {
  /// The runtime's threads.
  public let threads: Int
  /// Those of them that sleep until there is work.
  public let idleThreads: Int
  /// Those that look for work.
  public let spinningThreads: Int
  /// Threads stopped with a goroutine that ran for too long, which wait for a processor.
  public let preemptedThreads: Int
  /// How many goroutines can run at once (`Runtime.maxProcs`).
  public let processors: Int
  /// The processors without work.
  public let idleProcessors: Int
  /// The goroutines in the queue that all processors share.
  public let globalQueueLength: Int
  /// The goroutines that live, without the runtime's own.
  public let goroutines: Int
  /// The runtime's own goroutines.
  public let systemGoroutines: Int
  /// How often a goroutine began or went on running.
  public let switches: UInt64
  /// How often a processor without work took some from another.
  public let steals: UInt64
  /// How often a thread gave its processor to another and kept its goroutine.
  public let handoffs: UInt64
  /// How often a goroutine was stopped because it ran for too long while others waited.
  public let preemptions: UInt64
  /// How often a processor was taken from a thread that slept in the kernel without a word.
  public let untoldBlocks: UInt64
  /// How often a processor was taken from a thread inside `blocking`.
  public let syscallRetakes: UInt64
  /// The longest time from asking the world to stop until it stood still.
  public let worstStopTheWorld: Duration
  /// How long goroutines were ready before they ran, in seconds: a sample, taken from every goroutine in turn.
  public let latencies: Metric.Histogram

  init(_ figures: SchedulerFigures) {
    threads = figures.threads
    idleThreads = figures.idleThreads
    spinningThreads = figures.spinningThreads
    preemptedThreads = figures.preemptedThreads
    processors = figures.processors
    idleProcessors = figures.idleProcessors
    globalQueueLength = figures.globalQueueLength
    goroutines = figures.goroutines
    systemGoroutines = figures.systemGoroutines
    switches = figures.switches
    steals = figures.steals
    handoffs = figures.handoffs
    preemptions = figures.preemptions
    untoldBlocks = figures.untoldBlocks
    syscallRetakes = figures.syscallRetakes
    worstStopTheWorld = .nanoseconds(figures.worstStopTheWorld)
    latencies = Metric.Histogram(durations: SchedulerTimes.now().latencies)
  }
}

extension Runtime {
  /// The scheduler's figures now.
  public static var schedulerStatistics: SchedulerStatistics { SchedulerStatistics(.now()) }

  /// The calling goroutine's stack as text, and with `all` every other goroutine's as they were at one moment, in the form
  /// of a fatal report. With `all` the world is stopped meanwhile, goroutines that compute or sleep in the kernel too.
  ///
  /// The runtime's own functions and goroutines are left out unless GOTRACEBACK is `system` or `crash`.
  @inline(never)
  public static func dump(all: Bool = true) -> String {
    GoroutineSnapshot.text(all: all)
  }
}
