import Apus

import struct Synchronization.Atomic

/// Rounds of pipelines whose every element has to arrive once, unharmed, and in the order of its sender where there is
/// only one way.
@Sendable func channels(_ run: StressRun) {
  run.withWorkers(4) { _, random in
    var migrations = MigrationCounter()
    while !run.isOver {
      channelRound(run, &random)
      migrations.observe()
    }
    run.countMigrations(migrations.migrations)
  }
}

/// One round of random kind, width and capacities.
func channelRound(_ run: StressRun, _ random: inout Random) {
  let elements = random.pick(1...2000)
  switch random.pick(0...2) {
  case 0: pipeline(run, elements, stages: random.pick(0...20), &random)
  case 1: fan(run, elements, producers: random.pick(1...8), workers: random.pick(1...8), &random)
  default: consumed(run, elements, &random)
  }
}

/// One producer, a chain of stages that each hand on what comes, one consumer: nothing may overtake.
private func pipeline(_ run: StressRun, _ elements: Int, stages: Int, _ random: inout Random) {
  let first = Channel<Payload>(capacity: capacity(&random))
  var last = first
  for _ in 0..<stages {
    let next = Channel<Payload>(capacity: capacity(&random))
    go((run, last, next)) { run, source, sink in
      var migrations = MigrationCounter()
      source.forEach {
        sink.send($0)
        migrations.observe()
      }
      sink.close()
      run.countMigrations(migrations.migrations)
    }
    last = next
  }
  go {
    for number in 0..<elements { first.send(Payload(producer: 0, number)) }
    first.close()
  }
  var expected = 0
  while let payload = last.receive() {
    run.check(payload.isIntact, "element \(expected) of a pipeline arrived damaged")
    run.check(payload.number == expected, "a pipeline handed on \(payload.number) where \(expected) was next")
    expected += 1
  }
  run.check(expected == elements, "\(expected) of \(elements) elements came through a pipeline")
  run.check(last.receive() == nil, "a channel that was closed and drained handed something out")
  run.count(elements * (stages + 1))
}

/// Several producers, several workers, one consumer: each element once. With a single worker, in its producer's order.
private func fan(_ run: StressRun, _ elements: Int, producers: Int, workers: Int, _ random: inout Random) {
  let jobs = Channel<Payload>(capacity: capacity(&random))
  let results = Channel<Payload>(capacity: capacity(&random))
  let producing = WaitGroup()
  let working = WaitGroup()
  for producer in 0..<producers {
    producing.go {
      for number in 0..<elements { jobs.send(Payload(producer: producer, number)) }
    }
  }
  for _ in 0..<workers {
    working.go {
      var migrations = MigrationCounter()
      while let payload = jobs.receive() {
        migrations.observe()
        results.send(payload)
      }
      run.countMigrations(migrations.migrations)
    }
  }
  go {
    producing.wait()
    jobs.close()
    working.wait()
    results.close()
  }
  var seen = [Bool](repeating: false, count: producers * elements)
  var next = [Int](repeating: 0, count: producers)
  var received = 0
  while let payload = results.receive() {
    guard payload.isIntact, payload.producer < producers, payload.number < elements else {
      run.check(false, "an element arrived damaged")
      continue
    }
    let index = payload.producer * elements + payload.number
    run.check(!seen[index], "element \(payload.number) of producer \(payload.producer) arrived twice")
    seen[index] = true
    if workers == 1 {
      run.check(payload.number == next[payload.producer], "an element overtook another of its producer")
      next[payload.producer] = payload.number + 1
    }
    received += 1
  }
  run.check(received == seen.count, "\(received) of \(seen.count) elements arrived")
  run.count(2 * received)
}

/// Elements that cannot be copied, some received and some left behind in the channel: each is destroyed exactly once.
private func consumed(_ run: StressRun, _ elements: Int, _ random: inout Random) {
  let census = Census()
  let taken = random.pick(0...elements)
  do {
    let channel = Channel<Coin>(capacity: elements - taken + random.pick(0...8))
    let group = WaitGroup()
    group.go {
      for _ in 0..<elements { channel.send(Coin(census)) }
    }
    for _ in 0..<taken {
      if channel.receive() == nil { run.check(false, "an open channel handed out nil") }
    }
    group.wait()
    let left = elements - taken
    run.check(channel.count == left, "a channel counts \(channel.count) elements, not \(left)")
  }
  // The goroutine that was done last may still be about to release the channel.
  let isEmpty = run.waitUntil { census.alive.load(ordering: .relaxed) == 0 }
  run.check(
    isEmpty,
    "\(census.alive.load(ordering: .relaxed)) of \(elements) elements of a channel were not destroyed, or twice")
  run.count(elements)
}

/// No room, a little or plenty.
private func capacity(_ random: inout Random) -> Int {
  random.oneIn(2) ? 0 : random.pick(1...(random.oneIn(2) ? 4 : 300))
}

/// An element that is larger than a word, holds a reference and knows whether it is whole.
private struct Payload: Sendable, Equatable {
  let producer: Int
  let number: Int
  private let check: Int
  private let text: String

  init(producer: Int, _ number: Int) {
    self.producer = producer
    self.number = number
    check = number &* 0x9e37_79b9 ^ producer
    text = "element \(number) of a producer"
  }

  var isIntact: Bool { check == number &* 0x9e37_79b9 ^ producer && text == "element \(number) of a producer" }
}

/// How many coins there are.
private final class Census: Sendable {
  let alive = Atomic<Int>(0)
}

/// An element that cannot be copied.
private struct Coin: ~Copyable, Sendable {
  private let census: Census

  init(_ census: Census) {
    self.census = census
    census.alive.wrappingAdd(1, ordering: .relaxed)
  }

  deinit { census.alive.wrappingSubtract(1, ordering: .relaxed) }
}
