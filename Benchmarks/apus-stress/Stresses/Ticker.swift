import Apus
import Glibc

import struct Synchronization.Atomic

/// For how long others may compute before the ticker comes to its turn, in nanoseconds of the process's CPU time: hundreds
/// of Go's slices, and the clock stands while the machine computes for other processes. Behind hogs for which nobody comes
/// to a turn it waits for ever.
private let patience = 3_000_000_000

/// The CPU time of all threads of the process.
private func computed() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Runs `body` beside a goroutine that wants its turn each millisecond, and has to get it.
func besideTicker(_ run: StressRun, _ body: () -> Void) {
  let ticker = Ticker()
  let group = WaitGroup()
  group.go {
    while !ticker.isOver.load(ordering: .relaxed) {
      let due = nanoseconds() + 1_000_000
      let before = computed()
      Goroutine.sleep(for: .milliseconds(1))
      let late = nanoseconds() - due
      run.note(late: late)
      let waited = computed() - before
      run.check(
        waited < patience,
        "a goroutine that slept for 1 ms came to its turn after \(waited / 1_000_000) ms of others, \(late / 1_000_000) ms late"
      )
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
