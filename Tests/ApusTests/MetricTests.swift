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

  /// A crowd leaves stacks with memory, which do not stay.
  @Test func stacksOfThoseThatEndedAreCounted() async {
    await #expect(processExitsWith: .success) {
      Runtime.maxProcs = 2
      func idle() -> UInt64 { Self.value("/apus/sched/stacks/idle:stacks")! }
      let group = WaitGroup()
      let gate = Channel<Void>()
      let started = WaitGroup()
      started.add(2000)
      for _ in 0..<2000 {
        group.go {
          started.done()
          _ = gate.receive()
        }
      }
      started.wait()
      precondition(idle() < 200, "\(idle()) before they ended")
      let began = ContinuousClock.now
      gate.close()
      group.wait()
      // If it takes half a second to look, some may have lost their memory before.
      let most = idle()
      precondition(most > 1700 || ContinuousClock.now - began > .milliseconds(500), "\(most) are idle")
      precondition(eventually { idle() == 0 }, "\(idle()) are idle for ever")
    }
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

  private static func histogram(_ name: String) throws -> Metric.Histogram {
    guard case .histogram(let value)? = Runtime.metrics.first(where: { $0.name == name })?.value else {
      throw CancellationError()
    }
    return value
  }

  /// Whoever waits for a partner parks, or the partner does: two times in each round.
  @Test func latenciesAreSampled() throws {
    let rounds: UInt64 = 3200
    let before = try Self.histogram("/sched/latencies:seconds")
    let sum = onGoroutine { () -> UInt64 in
      let there = Channel<UInt64>()
      let back = Channel<UInt64>()
      go { there.forEach { back.send($0) } }
      defer { there.close() }
      return (0..<rounds).reduce(0) {
        there.send($1)
        return $0 + (back.receive() ?? 0)
      }
    }
    #expect(sum == rounds * (rounds - 1) / 2)
    let after = try Self.histogram("/sched/latencies:seconds")
    // Of each of the two goroutines one in 64, if chance takes it, one in four: of some hundred 25, give or take four.
    #expect(after.total >= before.total + 3)
    #expect(Runtime.schedulerStatistics.latencies.total >= after.total)
    #expect(after.bounds.count == after.counts.count + 1)
    #expect(after.bounds.first == -.infinity && after.bounds.last == .infinity)
    #expect(after.bounds == after.bounds.sorted())
    #expect(after.quantile(0) ?? 0 <= after.quantile(1) ?? 0)
  }

  /// A dump stops the world, and not for a collection.
  @Test func pausesAreCounted() throws {
    let names = ["/sched/pauses/stopping/other:seconds", "/sched/pauses/total/other:seconds"]
    let before = try names.map { try Self.histogram($0).total }
    for _ in 0..<3 { _ = onGoroutine { Runtime.goroutineProfile() } }
    let after = try names.map { try Self.histogram($0).total }
    for (old, new) in zip(before, after) { #expect(new >= old + 3) }
  }

  @Test func aGoroutineThatAsksRuns() {
    #expect(onGoroutine { Self.value("/sched/goroutines/running:goroutines")! } >= 1)
    #expect(Self.value("/sched/threads/total:threads")! >= 1)
  }
}
