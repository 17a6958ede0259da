import ApusRuntime

/// A figure of the runtime under a name that says what it is and in which unit (Go's `runtime/metrics`).
public struct Metric: Sendable {
  /// What a metric has for a value.
  public enum Value: Sendable, Hashable {
    /// A count, or an amount in the unit that the name ends with.
    case integer(UInt64)
    /// The same where it may lie between two integers.
    case real(Double)
    /// How often there was which amount.
    case histogram(Histogram)
  }

  /// A distribution (Go's `metrics.Float64Histogram`): how often an amount was in which range.
  public struct Histogram: Sendable, Hashable {
    /// How many amounts were in each range, since the start of the process.
    public let counts: [UInt64]
    /// Where the ranges begin, in the metric's unit, and where the last one ends: one more than `counts`. An amount is in
    /// range `i` if it is `bounds[i]` or more, and less than `bounds[i + 1]`. The first bound is minus infinity, the last
    /// one infinity.
    public let bounds: [Double]

    /// How many amounts there were.
    public var total: UInt64 { counts.reduce(0, &+) }

    /// An amount below which the `fraction`, from 0 to 1, of all amounts are: the upper bound of the range in which it lies,
    /// or of the last range the lower one. Nil where there is none at all. A fraction outside of these counts as the nearer
    /// of them.
    public func quantile(_ fraction: Double) -> Double? {
      let total = total
      if total == 0 { return nil }
      let wanted = max((Double(total) * min(max(fraction, 0), 1)).rounded(.up), 1)
      var sum: UInt64 = 0
      for (index, count) in counts.enumerated() {
        sum &+= count
        if Double(sum) >= wanted { return bounds[index + 1].isFinite ? bounds[index + 1] : bounds[index] }
      }
      return bounds[bounds.count - 2]
    }

    /// Of a duration: `counts` as `TimeHistogram` has them.
    init(durations counts: [UInt64]) {
      self.counts = counts
      bounds = Self.durationBounds
    }

    /// In seconds, which are not negative but for what a clock may do.
    private static let durationBounds: [Double] =
      [-.infinity] + (1..<TimeHistogram.count).map { Double(TimeHistogram.start(of: $0)) / 1e9 } + [.infinity]
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
    let times = SchedulerTimes.now()
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
        "/apus/sched/stacks/idle:stacks", .integer(UInt64(figures.idleStacks)),
        "Stacks without a goroutine that may have memory; it goes back to the system some seconds later."),
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
        "/sched/latencies:seconds", .histogram(.init(durations: times.latencies)), isCumulative: true,
        "How long goroutines were ready before they ran: a sample of one in \(SchedulerTimes.samplePeriod)."),
      Metric(
        "/sched/pauses/stopping/gc:seconds", .histogram(.init(durations: times.collectorsStopping)), isCumulative: true,
        "How long it took from asking the world to stop for a collection until it stood still."),
      Metric(
        "/sched/pauses/stopping/other:seconds", .histogram(.init(durations: times.othersStopping)), isCumulative: true,
        "The same where it was not for a collection."),
      Metric(
        "/sched/pauses/total/gc:seconds", .histogram(.init(durations: times.collectorsTotal)), isCumulative: true,
        "How long it took from asking the world to stop for a collection until it went on."),
      Metric(
        "/sched/pauses/total/other:seconds", .histogram(.init(durations: times.othersTotal)), isCumulative: true,
        "The same where it was not for a collection."),
      Metric(
        "/sched/threads/total:threads", .integer(UInt64(figures.threads)),
        "Threads of the runtime."),
      Metric(
        "/sync/mutex/wait/total:seconds", .real(Double(times.mutexWait) / 1e9), isCumulative: true,
        "How long goroutines have waited for a mutex, by what a sample of them says."),
    ]
  }
}
