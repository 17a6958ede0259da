#if Metrics
  import Apus
  import ApusMetrics
  import CoreMetrics
  import MetricsTestKit
  import Testing

  @Suite struct RuntimeMetricsTests {
    @Test func everyMetricIsRecorded() throws {
      let backend = TestMetrics()
      RuntimeMetrics(dimensions: [("instance", "a")], factory: backend).record()
      let metrics = Runtime.metrics
      let distributions = metrics.filter { if case .histogram = $0.value { true } else { false } }
      #expect(distributions.count >= 5)
      #expect(backend.meters.count == metrics.filter { !$0.isCumulative }.count)
      // Of each distribution eight buckets and a count, instead of one.
      #expect(backend.counters.count == metrics.filter(\.isCumulative).count + distributions.count * 8)
      let procs = try backend.expectMeter("apus_sched_gomaxprocs_threads", [("instance", "a")])
      #expect(procs.lastValue == Double(Runtime.maxProcs))
      let steals = try backend.expectCounter("apus_sched_steals_steals_total", [("instance", "a")])
      #expect(steals.values.count <= 1)
    }

    /// Each recording adds to a counter what has come since the one before.
    @Test func countersGrowByTheDifference() throws {
      let backend = TestMetrics()
      let metrics = RuntimeMetrics(factory: backend)
      metrics.record()
      let created = try backend.expectCounter("apus_sched_goroutines_created_goroutines_total")
      let first = created.totalValue
      #expect(first > 0)
      let group = WaitGroup()
      for _ in 0..<100 { group.go {} }
      group.wait()
      metrics.record()
      #expect(created.totalValue >= first + 100)
      #expect(created.values.count == 2)
      // Had the whole count been added again, there would be more than there are.
      guard
        case .integer(let now)? = Runtime.metrics.first(where: { $0.name == "/sched/goroutines-created:goroutines" })?
          .value
      else {
        Issue.record("no such metric")
        return
      }
      #expect(created.totalValue <= Int64(now))
    }

    /// The counter of a bound has everything below it.
    @Test func distributionsHaveBuckets() throws {
      let backend = TestMetrics()
      let metrics = RuntimeMetrics(factory: backend)
      // So that there is a sample.
      let group = WaitGroup()
      for _ in 0..<20_000 { group.go { Goroutine.yield() } }
      group.wait()
      metrics.record()
      let label = "apus_sched_latencies_seconds"
      let count = try backend.expectCounter(label + "_count").totalValue
      #expect(count > 0)
      #expect(try backend.expectCounter(label + "_bucket", [("le", "+Inf")]).totalValue == count)
      let bounds = ["6.4e-08", "6.4e-07", "7.168e-06", "8.192e-05"]
      let sums = try bounds.map { try backend.expectCounter(label + "_bucket", [("le", $0)]).totalValue }
      #expect(sums == sums.sorted() && sums.last ?? 0 <= count)
    }

    @Test func labelsTakeThePrefix() throws {
      let backend = TestMetrics()
      RuntimeMetrics(prefix: "go", factory: backend).record()
      _ = try backend.expectMeter("go_sched_goroutines_goroutines")
      _ = try backend.expectCounter("go_sched_switches_switches_total")
    }

    @Test func recordingGoesOnUntilItIsStopped() throws {
      let backend = TestMetrics()
      let stop = RuntimeMetrics(factory: backend).record(every: .milliseconds(5))
      let end = ContinuousClock.now + .seconds(30)
      func count() -> Int { (try? backend.expectMeter("apus_sched_goroutines_goroutines").values.count) ?? 0 }
      while count() < 3 && ContinuousClock.now < end { Goroutine.sleep(for: .milliseconds(1)) }
      #expect(count() >= 3)
      stop()
      Goroutine.sleep(for: .milliseconds(50))
      let last = count()
      Goroutine.sleep(for: .milliseconds(100))
      #expect(count() == last)
    }
  }
#endif
