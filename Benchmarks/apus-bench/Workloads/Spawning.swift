import Apus

import struct Synchronization.Atomic

/// Two goroutines that do nothing but yield; an operation is one yield.
func yielding(_ options: Options) {
  let size = options.size ?? 1_000_000
  let group = WaitGroup()
  let start = nanoseconds()
  for _ in 0..<2 {
    group.add()
    go {
      for _ in 0..<size { Goroutine.yield() }
      group.done()
    }
  }
  group.wait()
  report("yield", options, size: size, duration: nanoseconds() - start, operations: 2 * size)
}

/// Spawns goroutines that count themselves, and waits for all of them; an operation is one goroutine.
func spawnJoin(_ options: Options) {
  let size = options.size ?? 1_000_000
  let tally = Tally()
  let start = nanoseconds()
  tally.group.add(size)
  for _ in 0..<size {
    go(tally) {
      $0.count.wrappingAdd(1, ordering: .relaxed)
      $0.group.done()
    }
  }
  tally.group.wait()
  let duration = nanoseconds() - start
  precondition(tally.count.load(ordering: .relaxed) == size, "spawn_join: a goroutine is missing")
  report("spawn_join", options, size: size, duration: duration, operations: size)
}

/// What the goroutines of `spawn_join` share: given to each as its argument, it costs no closure.
private final class Tally: Sendable {
  let group = WaitGroup()
  let count = Atomic<Int>(0)
}

/// The skynet benchmark: a tree of goroutines, ten below each, whose leaves send their number up.
func skynet(_ options: Options) {
  let size = options.size ?? 1_000_000
  let top = Channel<Int>()
  let start = nanoseconds()
  go((top, 0, size)) { skynet(into: $0.0, number: $0.1, size: $0.2) }
  let sum = top.receive()
  let duration = nanoseconds() - start
  precondition(sum == size * (size - 1) / 2, "skynet: wrong sum")
  let total = decimal(Double(duration) / 1e6, places: 1)
  report("skynet", options, size: size, duration: duration, operations: size, "total_ms=\(total)")
}

/// Sends the sum of the leaves from `number` to `number + size - 1` to `parent`.
private func skynet(into parent: Channel<Int>, number: Int, size: Int) {
  if size == 1 {
    parent.send(number)
    return
  }
  let children = Channel<Int>()
  let share = size / 10
  for child in 0..<10 {
    go((children, number + child * share, share)) { skynet(into: $0.0, number: $0.1, size: $0.2) }
  }
  var sum = 0
  for _ in 0..<10 { sum += children.receive()! }
  parent.send(sum)
}
