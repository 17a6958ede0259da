import Apus
import Glibc

import struct Synchronization.Atomic

/// What a parked goroutine costs: `-n` goroutines that wait at one gate, the memory that they hold, and the time in
/// which they all come through when it opens. An operation is one goroutine woken.
func parked(_ options: Options) {
  park("parked", options) {}
}

/// The same after the goroutines have waited for long, so that their stacks are kept elsewhere. `page_tables_per_task` is
/// the part that the process's resident memory does not show.
func parkedLong(_ options: Options) {
  Runtime.shelveStacks(afterWaiting: .milliseconds(50))
  park("parked_long", options) {
    // Until the memory has not become less for a second.
    var least = Int.max
    var unchanged = 0
    while unchanged < 10 {
      Goroutine.sleep(for: .milliseconds(100))
      let now = processStatus("VmRSS")
      unchanged = now < least ? 0 : unchanged + 1
      least = min(least, now)
    }
  }
}

private func park(_ name: String, _ options: Options, waiting: () -> Void) {
  let size = options.size ?? 100_000
  let parking = Parking()
  let before = processStatus("VmRSS")
  var start = nanoseconds()
  parking.group.add(size)
  for _ in 0..<size {
    go(parking) {
      $0.arrived.wrappingAdd(1, ordering: .relaxed)
      _ = $0.gate.receive()
      $0.group.done()
    }
  }
  while parking.arrived.load(ordering: .relaxed) != size { Goroutine.yield() }
  let spawning = nanoseconds() - start
  // Long enough for those that have only counted themselves to reach the gate.
  usleep(50_000)
  waiting()
  let after = processStatus("VmRSS")
  let pageTables = processStatus("VmPTE")
  start = nanoseconds()
  parking.gate.close()
  parking.group.wait()
  let duration = nanoseconds() - start
  let extra = [
    "bytes_per_task=" + decimal(Double(after - before) * 1024 / Double(size), places: 0),
    "page_tables_per_task=" + decimal(Double(pageTables) * 1024 / Double(size), places: 0),
    "spawn_ns=" + decimal(Double(spawning) / Double(size), places: 0),
    "wake_ms=" + decimal(Double(duration) / 1e6, places: 1),
  ]
  report(name, options, size: size, duration: duration, operations: size, extra.joined(separator: " "))
}

/// What the goroutines of `parked` share.
private final class Parking: Sendable {
  let gate = Channel<Void>()
  let group = WaitGroup()
  let arrived = Atomic<Int>(0)
}
