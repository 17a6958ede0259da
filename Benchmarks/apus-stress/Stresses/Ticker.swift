import Apus

import struct Synchronization.Atomic

/// The longest time for which the ticker may not come to its turn, in nanoseconds: a hundred of Go's slices and more, which
/// a thread of ours may have to wait for a CPU on a busy machine. Behind hogs for which nobody comes to a turn it waits
/// for ever.
private let patience = 3_000_000_000

/// Runs `body` beside a goroutine that wants its turn each millisecond, and has to get it.
func besideTicker(_ run: StressRun, _ body: () -> Void) {
  let ticker = Ticker()
  let group = WaitGroup()
  group.go {
    while !ticker.isOver.load(ordering: .relaxed) {
      let due = nanoseconds() + 1_000_000
      Goroutine.sleep(for: .milliseconds(1))
      let late = nanoseconds() - due
      run.note(late: late)
      run.check(late < patience, "a goroutine that slept for 1 ms came to its turn \(late / 1_000_000) ms late")
      ticker.ticks.wrappingAdd(1, ordering: .relaxed)
    }
  }
  body()
  ticker.isOver.store(true, ordering: .relaxed)
  group.wait()
  run.check(ticker.ticks.load(ordering: .relaxed) > 0, "the ticker never came to its turn")
}

private final class Ticker: Sendable {
  let isOver = Atomic<Bool>(false)
  let ticks = Atomic<Int>(0)
}
