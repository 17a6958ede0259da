import ApusRuntime

/// A figure of the runtime under a name that says what it is and in which unit (Go's `runtime/metrics`).
public struct Metric: Sendable {
  /// What a metric has for a value.
  public enum Value: Sendable, Hashable {
    /// A count, or an amount in the unit that the name ends with.
    case integer(UInt64)
    /// The same where it may lie between two integers.
    case real(Double)
  }

  /// A path and a unit: `/sched/goroutines:goroutines`. Go's where Go has the same figure; below `/apus` what Go has not.
  public let name: String
  /// What it says, in a sentence.
  public let description: String
  /// It counts from the start of the process and never falls.
  public let isCumulative: Bool
  /// Its value when it was asked for.
  public let value: Value

  init(_ name: String, _ value: Value, isCumulative: Bool = false, _ description: String) {
    self.name = name
    self.value = value
    self.isCumulative = isCumulative
    self.description = description
  }
}

extension Runtime {
  /// The runtime's figures now, in the order of their names. Taken while everybody runs: figures that change together may
  /// be of different moments. It looks at the record of every goroutine, some nanoseconds each.
  public static var metrics: [Metric] {
    (schedulerMetrics + HeapMetrics.now()).sorted { $0.name < $1.name }
  }

  private static var schedulerMetrics: [Metric] {
    let figures = SchedulerFigures.now()
    let census = GoroutineCensus.now()
    let worst = Double(figures.worstStopTheWorld) / 1e9
    return [
      Metric(
        "/apus/sched/blocks/told:blocks", .integer(figures.syscallRetakes), isCumulative: true,
        "How often a thread that had said that it would sleep lost its processor."),
      Metric(
        "/apus/sched/blocks/untold:blocks", .integer(figures.untoldBlocks), isCumulative: true,
        "How often a thread that slept without a word lost its processor."),
      Metric(
        "/apus/sched/global-queue:goroutines", .integer(UInt64(figures.globalQueueLength)),
        "Goroutines in the queue that all processors share."),
      Metric(
        "/apus/sched/goroutines/system:goroutines", .integer(UInt64(figures.systemGoroutines)),
        "The runtime's own goroutines, which no other metric counts."),
      Metric(
        "/apus/sched/handoffs:handoffs", .integer(figures.handoffs), isCumulative: true,
        "How often a thread gave its processor to another and kept its goroutine."),
      Metric(
        "/apus/sched/idle-processors:processors", .integer(UInt64(figures.idleProcessors)),
        "Processors without work."),
      Metric(
        "/apus/sched/pauses/stopping/worst:seconds", .real(worst),
        "The longest time from asking the world to stop until it stood still."),
      Metric(
        "/apus/sched/preemptions:preemptions", .integer(figures.preemptions), isCumulative: true,
        "How often a goroutine that computed was stopped, for others to run."),
      Metric(
        "/apus/sched/steals:steals", .integer(figures.steals), isCumulative: true,
        "How often a processor without work took some from another."),
      Metric(
        "/apus/sched/switches:switches", .integer(figures.switches), isCumulative: true,
        "How often a goroutine began or went on running."),
      Metric(
        "/apus/sched/threads/idle:threads", .integer(UInt64(figures.idleThreads)),
        "Threads of the runtime that sleep until there is work."),
      Metric(
        "/apus/sched/threads/spinning:threads", .integer(UInt64(figures.spinningThreads)),
        "Threads of the runtime that look for work."),
      Metric(
        "/apus/sched/threads/stopped:threads", .integer(UInt64(figures.preemptedThreads)),
        "Threads whose goroutine was stopped and waits for its turn."),
      Metric(
        "/sched/gomaxprocs:threads", .integer(UInt64(figures.processors)),
        "How many goroutines can run at once."),
      Metric(
        "/sched/goroutines-created:goroutines", .integer(census.created), isCumulative: true,
        "Goroutines created since the start of the process."),
      Metric(
        "/sched/goroutines/runnable:goroutines", .integer(census.runnable),
        "Goroutines that could run, and do not."),
      Metric(
        "/sched/goroutines/running:goroutines", .integer(census.running),
        "Goroutines that run."),
      Metric(
        "/sched/goroutines/waiting:goroutines", .integer(census.waiting),
        "Goroutines that wait for something."),
      Metric(
        "/sched/goroutines:goroutines", .integer(UInt64(figures.goroutines)),
        "Goroutines that live."),
      Metric(
        "/sched/threads/total:threads", .integer(UInt64(figures.threads)),
        "Threads of the runtime."),
    ]
  }
}
