import Apus
import Testing

/// Other tests run at the same time: only what they cannot change is compared.
@Suite struct MetricTests {
  private static func value(_ name: String) -> UInt64? {
    guard case .integer(let value)? = Runtime.metrics.first(where: { $0.name == name })?.value else { return nil }
    return value
  }

  @Test func namesAreSortedPathsWithUnits() {
    let metrics = Runtime.metrics
    #expect(metrics.map(\.name) == metrics.map(\.name).sorted())
    #expect(Set(metrics.map(\.name)).count == metrics.count)
    for metric in metrics {
      #expect(metric.name.wholeMatch(of: /(\/[a-z-]+)+:[a-z-]+/) != nil)
      #expect(metric.description.hasSuffix("."))
    }
  }

  @Test func theKnobIsOne() {
    #expect(Self.value("/sched/gomaxprocs:threads") == UInt64(Runtime.maxProcs))
  }

  @Test func goroutinesAreCountedInTheirStates() {
    let never = Channel<Int>()
    let before = Self.value("/sched/goroutines-created:goroutines")!
    let parked = WaitGroup()
    parked.add(100)
    for _ in 0..<100 {
      go {
        parked.done()
        _ = never.receive()
      }
    }
    parked.wait()
    #expect(eventually { Self.value("/sched/goroutines/waiting:goroutines")! >= 100 })
    #expect(Self.value("/sched/goroutines:goroutines")! >= 100)
    #expect(Self.value("/sched/goroutines-created:goroutines")! >= before + 100)
    never.close()
  }

  @Test func cumulativeMetricsNeverFall() {
    let before = Runtime.metrics.filter(\.isCumulative)
    #expect(before.count >= 4)
    let group = WaitGroup()
    for _ in 0..<1000 { group.go { Goroutine.yield() } }
    group.wait()
    let after = Runtime.metrics.filter(\.isCumulative)
    for (old, new) in zip(before, after) {
      #expect(old.name == new.name)
      guard case .integer(let a) = old.value, case .integer(let b) = new.value else { continue }
      #expect(a <= b, "\(old.name)")
    }
  }

  @Test func aGoroutineThatAsksRuns() {
    #expect(onGoroutine { Self.value("/sched/goroutines/running:goroutines")! } >= 1)
    #expect(Self.value("/sched/threads/total:threads")! >= 1)
  }
}
