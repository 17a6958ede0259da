#if Metrics
  import CoreMetrics

  /// A distribution as counters: for each of some bounds how many amounts were not above it, in the form of Prometheus's
  /// histograms, and how many there were.
  ///
  /// The runtime's distributions have more ranges than one wants to store time series of. As Go's collector for Prometheus
  /// does it, a bound is left out that is less than ten times the last one that is not, or above one second.
  struct HistogramCounters {
    private struct Bucket {
      let counter: Counter
      /// It counts the ranges before this one.
      let end: Int
      var last: UInt64 = 0
    }

    private var buckets: [Bucket] = []

    /// Makes the counters `label_bucket` and `label_count`. `bounds`: of the ranges, from minus infinity to infinity.
    init(label: String, bounds: [Double], dimensions: [(String, String)], factory: any MetricsFactory) {
      var last = 0.0
      for (index, bound) in bounds.enumerated() where bound > 0 && bound <= 1 && bound >= 10 * last {
        last = bound
        buckets.append(
          Bucket(
            counter: Counter(label: label + "_bucket", dimensions: dimensions + [("le", "\(bound)")], factory: factory),
            end: index))
      }
      func addLast(_ suffix: String, _ dimensions: [(String, String)]) {
        let counter = Counter(label: label + suffix, dimensions: dimensions, factory: factory)
        buckets.append(Bucket(counter: counter, end: bounds.count - 1))
      }
      addLast("_bucket", dimensions + [("le", "+Inf")])
      addLast("_count", dimensions)
    }

    /// Adds what has come since the last time. `counts`: of the ranges.
    mutating func record(_ counts: [UInt64]) {
      var sums: [UInt64] = [0]
      for count in counts { sums.append(sums[sums.count - 1] &+ count) }
      for index in buckets.indices {
        let now = sums[buckets[index].end]
        // It never falls; read while it changes, it may appear to, for a moment.
        guard now > buckets[index].last else { continue }
        buckets[index].counter.increment(by: now - buckets[index].last)
        buckets[index].last = now
      }
    }
  }
#endif
