import Apus
import ApusRuntime

import struct Synchronization.Atomic

/// How many amounts of 20 ms and more a distribution in seconds has.
private func countLong(_ name: String) -> UInt64 {
  guard case .histogram(let histogram)? = Runtime.metrics.first(where: { $0.name == name })?.value else { return 0 }
  var count: UInt64 = 0
  for (index, number) in histogram.counts.enumerated() where histogram.bounds[index] >= 0.016 { count += number }
  return count
}

/// Keeps the only processor for 20 ms.
private func keepProcessor() {
  let end = ContinuousClock.now + .milliseconds(20)
  while ContinuousClock.now < end {}
}

private final class Passed: Sendable {
  let begun = Atomic<Int>(0)
  let resumed = Atomic<Int>(0)
}

/// With one processor, and a slice so long that nobody is asked to yield: twenty thousand goroutines are ready for 20 ms, once
/// when they have been made and once after a wait. Prints how many times that was noted.
func printLatencies() {
  Slices.setAll(60_000_000_000)
  let count = 20_000
  let before = countLong("/sched/latencies:seconds")
  let passed = Passed()
  let started = WaitGroup()
  let gate = Channel<Int>()
  let ended = WaitGroup()
  started.add(count)
  for _ in 0..<count {
    ended.go {
      passed.begun.wrappingAdd(1, ordering: .relaxed)
      started.done()
      _ = gate.receive()
      passed.resumed.wrappingAdd(1, ordering: .relaxed)
    }
  }
  keepProcessor()
  let early = passed.begun.load(ordering: .relaxed)
  started.wait()
  let between = countLong("/sched/latencies:seconds")
  gate.close()
  keepProcessor()
  let earlyAgain = passed.resumed.load(ordering: .relaxed)
  ended.wait()
  precondition(early == 0 && earlyAgain == 0, "\(early) and \(earlyAgain) ran while the processor was kept")
  print(between - before, countLong("/sched/latencies:seconds") - between)
}

/// The same for goroutines that wait for a lock for 20 ms. Prints for how many milliseconds they have together, by the metric.
func printMutexWait() {
  let count = 20_000
  let started = WaitGroup()
  let ended = WaitGroup()
  let mutex = Mutex(0)
  started.add(count)
  mutex.withLock { _ in
    for _ in 0..<count {
      ended.go {
        started.done()
        mutex.withLock { $0 += 1 }
      }
    }
    started.wait()
    keepProcessor()
  }
  ended.wait()
  guard case .real(let seconds)? = Runtime.metrics.first(where: { $0.name == "/sync/mutex/wait/total:seconds" })?.value
  else { return }
  print(Int(seconds * 1000))
}
