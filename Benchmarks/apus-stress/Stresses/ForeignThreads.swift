import Apus

import struct Synchronization.Atomic

/// Threads that the runtime did not make, coming and going: they spawn goroutines, exchange elements with them through
/// channels in both directions, and wait for groups.
@Sendable func foreignThreads(_ run: StressRun) {
  run.withWorkers(4) { _, random in
    var migrations = MigrationCounter()
    while !run.isOver {
      let exchange = Exchange(room: random.oneIn(2) ? 0 : random.pick(1...16))
      let threads = random.pick(1...4)
      let elements = random.pick(1...200)
      exchange.threads.add(threads)
      for _ in 0..<threads { startThread { takePart(run, exchange, elements) } }
      // The goroutines' side: every request is answered by its square.
      let answering = WaitGroup()
      for _ in 0..<random.pick(1...4) {
        answering.go {
          while let request = exchange.requests.receive() {
            request.answers.send(request.number &* request.number)
          }
        }
      }
      exchange.threads.wait()
      exchange.requests.close()
      answering.wait()
      migrations.observe()
      let spawned = exchange.spawned.load(ordering: .relaxed)
      run.check(spawned == threads * elements, "\(spawned) of \(threads * elements) goroutines of threads ran")
      run.count(2 * threads * elements)
    }
    run.countMigrations(migrations.migrations)
  }
}

/// What one foreign thread does.
private func takePart(_ run: StressRun, _ exchange: Exchange, _ elements: Int) {
  run.check(Goroutine.current == nil, "a foreign thread is told that it is a goroutine")
  let thread = ThreadRecord.current
  let answers = Channel<Int>(capacity: exchange.requests.capacity)
  let spawning = WaitGroup()
  for number in 0..<elements {
    exchange.requests.send(Request(number: number, answers: answers))
    spawning.add()
    go((exchange, spawning)) { exchange, spawning in
      exchange.spawned.wrappingAdd(1, ordering: .relaxed)
      spawning.done()
    }
    run.check(answers.receive() == number &* number, "a foreign thread was given another's answer")
  }
  spawning.wait()
  Goroutine.yield()
  run.check(ThreadRecord.current === thread, "a foreign thread's code went on on another thread")
  exchange.threads.done()
}

/// A number to be squared and where the answer is to go.
private struct Request: Sendable {
  let number: Int
  let answers: Channel<Int>
}

/// What the threads and goroutines of one round share.
private final class Exchange: Sendable {
  let requests: Channel<Request>
  /// The threads that have not finished.
  let threads = WaitGroup()
  /// The goroutines that the threads spawned and that have run.
  let spawned = Atomic<Int>(0)

  init(room: Int) { requests = Channel(capacity: room) }
}
