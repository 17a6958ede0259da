#if Metrics
  import Apus
  public import CoreMetrics

  /// Hands `Runtime.metrics` to swift-metrics, for whatever backend the program has set up there.
  ///
  ///     MetricsSystem.bootstrap(backend)
  ///     let stop = RuntimeMetrics().record(every: .seconds(10))
  ///
  /// A metric becomes a meter, one that is cumulative a counter, and a distribution several (`_bucket` with a dimension
  /// `le`, and `_count`: a histogram of Prometheus without its sum). `/sched/goroutines:goroutines` is labelled
  /// `apus_sched_goroutines_goroutines`, and `/apus/sched/steals:steals` `apus_sched_steals_steals_total`: as Go's collector
  /// for Prometheus does it.
  public final class RuntimeMetrics: Sendable {
    private enum Instrument {
      case meter(Meter)
      /// And what it was when it was last read.
      case counter(Counter, UInt64)
      case amount(FloatingPointCounter, Double)
      case histogram(HistogramCounters)
    }

    private let prefix: String
    private let dimensions: [(String, String)]
    private let factory: any MetricsFactory
    private let instruments = Mutex([String: Instrument]())

    /// Records nothing yet.
    ///
    /// - Parameters:
    ///   - prefix: what every label begins with.
    ///   - dimensions: given to every meter and counter.
    ///   - factory: makes them; nil for the one that `MetricsSystem` was bootstrapped with.
    public init(prefix: String = "apus", dimensions: [(String, String)] = [], factory: (any MetricsFactory)? = nil) {
      self.prefix = prefix
      self.dimensions = dimensions
      self.factory = factory ?? MetricsSystem.factory
    }

    /// Reads the runtime's metrics and records them, once. A counter grows by what has come since the last time, the first
    /// time by what has come since the start of the process.
    public func record() {
      let metrics = Runtime.metrics
      instruments.withLock { instruments in
        for metric in metrics {
          let instrument = instruments[metric.name] ?? makeInstrument(metric)
          instruments[metric.name] = record(metric.value, instrument)
        }
      }
    }

    /// Records now and every `interval`, in a goroutine of its own, until the function that it returns is called. While that
    /// goroutine waits for the clock no deadlock is reported. An interval of zero or less ends the process with
    /// `panic: non-positive interval for NewTicker`.
    public func record(every interval: Duration) -> @Sendable () -> Void {
      let ticker = Goroutine.Ticker(every: interval)
      let (context, cancel) = Context.background.cancellable()
      go {
        self.record()
        while true {
          switch select(ticker.channel.receiving, context.done.receiving) {
          case .first: self.record()
          case .second:
            ticker.stop()
            return
          }
        }
      }
      return { cancel(nil) }
    }

    private func makeInstrument(_ metric: Metric) -> Instrument {
      let label = label(of: metric)
      switch metric.value {
      case .histogram(let histogram):
        return .histogram(
          HistogramCounters(label: label, bounds: histogram.bounds, dimensions: dimensions, factory: factory))
      case .integer where metric.isCumulative:
        return .counter(Counter(label: label, dimensions: dimensions, factory: factory), 0)
      case .real where metric.isCumulative:
        return .amount(FloatingPointCounter(label: label, dimensions: dimensions, factory: factory), 0)
      case .integer, .real:
        return .meter(Meter(label: label, dimensions: dimensions, factory: factory))
      }
    }

    private func record(_ value: Metric.Value, _ instrument: Instrument) -> Instrument {
      switch (instrument, value) {
      case (.meter(let meter), .integer(let number)): meter.set(number)
      case (.meter(let meter), .real(let number)): meter.set(number)
      case (.counter(let counter, let last), .integer(let number)):
        // It never falls; read while it changes, it may appear to, for a moment.
        guard number > last else { break }
        counter.increment(by: number - last)
        return .counter(counter, number)
      case (.amount(let counter, let last), .real(let number)):
        guard number > last else { break }
        counter.increment(by: number - last)
        return .amount(counter, number)
      case (.histogram(var counters), .histogram(let histogram)):
        counters.record(histogram.counts)
        return .histogram(counters)
      case (.meter, .histogram), (.counter, _), (.amount, _), (.histogram, _): break
      }
      return instrument
    }

    private func label(of metric: Metric) -> String {
      var path = metric.name[...]
      if path.hasPrefix("/apus/") { path = path.dropFirst("/apus".count) }
      let words = String(path.map { $0 == "/" || $0 == "-" || $0 == ":" ? "_" : $0 })
      if case .histogram = metric.value { return prefix + words }
      return prefix + words + (metric.isCumulative ? "_total" : "")
    }
  }
#endif
