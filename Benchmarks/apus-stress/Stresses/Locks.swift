import Apus

import struct Synchronization.Atomic

/// Goroutines and threads that want one mutex, and wait for other things while they hold it: never two at a time, and no
/// count lost.
@Sendable func mutex(_ run: StressRun) {
  inRounds(run) { random in
    let shared = Mutex(CheckedCount())
    let inner = Mutex(0)
    let inside = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let steps = random.pick(1...300)
    let parties = takePartTogether(run, &random) { random in
      for _ in 0..<steps {
        let kind = random.pick(0...5)
        let change: (inout CheckedCount) -> Void = { value in
          run.check(inside.wrappingAdd(1, ordering: .relaxed).newValue == 1, "two hold a mutex")
          let before = value
          switch kind {
          case 0: Goroutine.yield()
          case 1: exchangeWithGoroutine(before.count)
          case 2: inner.withLock { $0 += 1 }
          default: break
          }
          run.check(value == before, "a mutex's value changed under its holder")
          value.add()
          inside.wrappingSubtract(1, ordering: .relaxed)
        }
        if kind == 5 {
          if shared.withLockIfAvailable({ change(&$0) }) == nil { refused.wrappingAdd(1, ordering: .relaxed) }
        } else {
          shared.withLock { change(&$0) }
        }
      }
    }
    let expected = parties * steps - refused.load(ordering: .relaxed)
    let value = shared.withLock { $0 }
    run.check(value.count == expected && value.isIntact, "\(value.count) of \(expected) were counted under a mutex")
    run.count(expected)
  }
}

/// Two that want a mutex for which nobody has waited for long, a few times each: who waits must not miss the last release.
@Sendable func calmMutex(_ run: StressRun) {
  inRounds(run) { random in
    let shared = Mutex(0)
    // So many that releases are plain stores from then on.
    let calming = 4200
    for _ in 0..<calming { shared.withLock { $0 += 1 } }
    let present = Atomic<Int>(0)
    let group = WaitGroup()
    let steps = [random.pick(1...4), random.pick(1...4)]
    // Who waits spins for some microseconds first: it has to be held for about as long.
    let pause = random.pick(0...12_000)
    for count in steps {
      let party: @Sendable () -> Void = {
        present.wrappingAdd(1, ordering: .relaxed)
        // Together, if there are two processors.
        var patience = Runtime.maxProcs > 1 ? 200_000 : 0
        while present.load(ordering: .relaxed) < 2 && patience > 0 { patience -= 1 }
        for _ in 0..<count {
          shared.withLock { number in
            for _ in 0..<pause where present.load(ordering: .relaxed) == 0 { number += 1 }
            number += 1
          }
        }
      }
      group.go(party)
    }
    group.wait()
    let expected = calming + steps[0] + steps[1]
    run.check(shared.withLock { $0 } == expected, "a count under a calm mutex is missing")
    run.count(expected)
  }
}

/// Readers and writers of one value: no writer beside anybody, no reader that sees half a change.
@Sendable func rwMutex(_ run: StressRun) {
  inRounds(run) { random in
    let shared = RWMutex(CheckedCount())
    let reading = Atomic<Int>(0)
    let writing = Atomic<Int>(0)
    let written = Atomic<Int>(0)
    let steps = random.pick(1...300)
    let share = random.pick(1...12)
    let parties = takePartTogether(run, &random) { random in
      for _ in 0..<steps {
        let yields = random.oneIn(8)
        if random.oneIn(share) {
          shared.withWriteLock { value in
            run.check(writing.wrappingAdd(1, ordering: .relaxed).newValue == 1, "two write under a read-write mutex")
            run.check(reading.load(ordering: .relaxed) == 0, "a read-write mutex is read and written")
            value.add()
            if yields { Goroutine.yield() }
            run.check(reading.load(ordering: .relaxed) == 0, "a read-write mutex is read and written")
            writing.wrappingSubtract(1, ordering: .relaxed)
          }
          written.wrappingAdd(1, ordering: .relaxed)
        } else {
          shared.withReadLock { value in
            reading.wrappingAdd(1, ordering: .relaxed)
            let before = value
            if yields { Goroutine.yield() }
            run.check(value == before && value.isIntact, "a value changed under its reader")
            run.check(writing.load(ordering: .relaxed) == 0, "a read-write mutex is read and written")
            reading.wrappingSubtract(1, ordering: .relaxed)
          }
        }
      }
    }
    let expected = written.load(ordering: .relaxed)
    let count = shared.withReadLock { $0.count }
    run.check(count == expected, "\(count) of \(expected) writes were counted")
    run.count(parties * steps)
  }
}

/// Small and large wishes at one semaphore: never more units out than there are, and all there at the end.
@Sendable func semaphore(_ run: StressRun) {
  inRounds(run) { random in
    let units = random.pick(1...20)
    let semaphore = Semaphore(units)
    let out = Atomic<Int>(0)
    let steps = random.pick(1...300)
    let parties = takePartTogether(run, &random) { random in
      for _ in 0..<steps {
        let wish = random.oneIn(4) ? units : random.pick(0...units)
        if random.oneIn(5) {
          if !semaphore.tryAcquire(wish) { continue }
        } else {
          semaphore.acquire(wish)
        }
        run.check(out.wrappingAdd(wish, ordering: .relaxed).newValue <= units, "a semaphore gave more than it had")
        if random.oneIn(3) { Goroutine.yield() }
        out.wrappingSubtract(wish, ordering: .relaxed)
        semaphore.release(wish)
      }
    }
    run.check(semaphore.tryAcquire(units), "a semaphore has lost units")
    run.check(!semaphore.tryAcquire(), "a semaphore has gained units")
    run.count(parties * steps)
  }
}

/// Bounded buffers of a mutex and two conditions: every element comes out once, and nobody sleeps through a change.
@Sendable func condition(_ run: StressRun) {
  inRounds(run) { random in
    let buffer = Mutex([Int]())
    let notEmpty = Condition()
    let notFull = Condition()
    let room = random.pick(1...4)
    let steps = random.pick(1...300)
    let broadcasts = random.oneIn(2)
    let received = Mutex((count: 0, sum: 0))
    let numbers = Atomic<Int>(0)
    let parties = takePartTogether(run, &random) { random in
      // Each takes as many as it puts, one after the other: so nobody is left over.
      for _ in 0..<steps {
        let number = numbers.wrappingAdd(1, ordering: .relaxed).newValue
        buffer.withLock(waitingOn: notFull, until: { $0.count < room }) { $0.append(number) }
        if broadcasts { notEmpty.broadcast() } else { notEmpty.signal() }
        if random.oneIn(6) { Goroutine.yield() }
        let taken = buffer.withLock(waitingOn: notEmpty, until: { !$0.isEmpty }) { $0.removeFirst() }
        if broadcasts { notFull.broadcast() } else { notFull.signal() }
        received.withLock { $0 = ($0.count + 1, $0.sum + taken) }
      }
    }
    let total = parties * steps
    let (count, sum) = received.withLock { $0 }
    run.check(count == total && sum == total * (total + 1) / 2, "an element of a bounded buffer is missing or doubled")
    run.count(2 * total)
  }
}

/// Runs `round` over and over, on two goroutines side by side.
private func inRounds(_ run: StressRun, _ round: @escaping @Sendable (inout Random) -> Void) {
  run.withWorkers(2) { _, random in
    var migrations = MigrationCounter()
    while !run.isOver {
      round(&random)
      migrations.observe()
    }
    run.countMigrations(migrations.migrations)
  }
}

/// Runs `body` on a random number of goroutines and of threads that are not the runtime's, and waits for all of them.
///
/// - Returns: How many took part.
private func takePartTogether(
  _ run: StressRun, _ random: inout Random, _ body: @escaping @Sendable (inout Random) -> Void
) -> Int {
  let group = WaitGroup()
  let goroutines = random.pick(1...12)
  let threads = random.oneIn(4) ? random.pick(1...3) : 0
  let stream = random.pick(0...1_000_000_000)
  group.add(goroutines + threads)
  for number in 0..<goroutines + threads {
    let party: @Sendable () -> Void = {
      var random = run.random(stream + number)
      body(&random)
      group.done()
    }
    if number < goroutines { go(party) } else { startThread(party) }
  }
  group.wait()
  return goroutines + threads
}

/// Meets another goroutine.
private func exchangeWithGoroutine(_ number: Int) {
  let answer = Channel<Int>()
  go { answer.send(number) }
  _ = answer.receive()
}

/// A value of several words that knows whether it is whole.
private struct CheckedCount: Sendable, Equatable {
  private(set) var count = 0
  private var mirror = -1
  private var text = "0"

  mutating func add() {
    count += 1
    text = "\(count)"
    mirror = ~count
  }

  var isIntact: Bool { mirror == ~count && text == "\(count)" }
}
