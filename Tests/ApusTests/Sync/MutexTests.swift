import ApusRuntime
import Testing

import struct Synchronization.Atomic

@testable import Apus

@Suite struct MutexTests {
  @Test func holdersExcludeEachOther() throws {
    onGoroutine {
      let counter = Mutex(0)
      let inside = Sum()
      let group = WaitGroup()
      for _ in 0..<10 {
        group.go {
          for step in 0..<1000 {
            if step % 3 == 0 && counter.withLockIfAvailable({ _ in }) == nil { continue }
            counter.withLock { value in
              #expect(inside.add() == 1)
              let before = value
              if step % 7 == 0 { Goroutine.yield() }
              value = before + 1
              inside.add(-1)
            }
          }
        }
      }
      group.wait()
      let count = counter.withLock { $0 }
      #expect(count > 0 && count <= 10_000)
    }
  }

  @Test func noCountIsLost() throws {
    onGoroutine {
      let counter = Mutex(0)
      let group = WaitGroup()
      for _ in 0..<8 { group.go { for _ in 0..<20_000 { counter.withLock { $0 += 1 } } } }
      group.wait()
      #expect(counter.withLock { $0 } == 160_000)
    }
  }

  @Test func lockIsAvailableOnlyWhileFree() throws {
    onGoroutine {
      let mutex = Mutex(1)
      let refused = mutex.withLock { _ in mutex.withLockIfAvailable { $0 } == nil }
      #expect(refused)
      #expect(mutex.withLockIfAvailable { $0 } == 1)
      #expect(mutex.withLock { $0 } == 1)
    }
  }

  @Test func lockIsReleasedWhenTheBodyThrows() throws {
    struct Refusal: Error {}
    let mutex = Mutex(0)
    #expect(throws: Refusal.self) {
      try mutex.withLock { value throws(Refusal) in
        value = 7
        throw Refusal()
      }
    }
    #expect(mutex.withLockIfAvailable { $0 } == 7)
    #expect(throws: Refusal.self) { _ = try mutex.withLockIfAvailable { _ throws(Refusal) in throw Refusal() } }
    #expect(mutex.withLock { $0 } == 7)
  }

  /// One goroutine takes the lock again as soon as it has released it, and holds it for a tenth of a millisecond. The
  /// other is woken each time, and comes too late unless it happens to spin at that moment: about once in a hundred
  /// times. After a millisecond, some ten times, it is handed the lock.
  @Test func waiterIsNotStarved() throws {
    onGoroutine {
      let mutex = Mutex(0)
      let isDone = Flag()
      let group = WaitGroup()
      group.go {
        for _ in 0..<20 {
          Goroutine.yield()
          mutex.withLock { $0 += 1 }
        }
        isDone.set()
      }
      var rounds = 0
      while !isDone.isSet && rounds < 600 {
        rounds += 1
        mutex.withLock { _ in
          let enough = monotonicNanoseconds() + 100_000
          while monotonicNanoseconds() < enough { Goroutine.yield() }
        }
      }
      group.wait()
      #expect(rounds < 600)
    }
  }

  /// The holder waits for another goroutine, others want the lock meanwhile.
  @Test func lockIsHeldOverAWait() throws {
    onGoroutine {
      let mutex = Mutex([Int]())
      let question = Channel<Int>()
      let answer = Channel<Int>()
      let group = WaitGroup()
      group.go { while let number = question.receive() { answer.send(number + 1) } }
      let holders = WaitGroup()
      for number in 0..<20 {
        holders.go {
          mutex.withLock { numbers in
            question.send(number)
            numbers.append(answer.receive()!)
          }
        }
      }
      holders.wait()
      question.close()
      group.wait()
      #expect(mutex.withLock { $0.sorted() } == Array(1...20))
    }
  }

  /// The calling thread is no goroutine's: it blocks, and goroutines wake it.
  @Test func threadBlocksForTheLock() {
    let mutex = Mutex(0)
    let group = WaitGroup()
    for _ in 0..<4 {
      group.go {
        for step in 0..<2000 {
          mutex.withLock { value in
            if step % 16 == 0 { Goroutine.yield() }
            value += 1
          }
        }
      }
    }
    for _ in 0..<2000 { mutex.withLock { $0 += 1 } }
    group.wait()
    #expect(mutex.withLock { $0 } == 10_000)
  }

  @Test func valueNeedNotBeCopyableOrSendable() throws {
    struct Ticket: ~Copyable { var number: Int }
    final class Box { var number = 1 }
    let ticket = Mutex(Ticket(number: 3))
    let taken = ticket.withLock { ticket in exchange(&ticket, with: Ticket(number: 4)) }
    #expect(taken.number == 3)
    #expect(ticket.withLock { $0.number } == 4)
    let box = Mutex(Box())
    let number = onGoroutine {
      box.withLock { box in
        box.number += 1
        return box.number
      }
    }
    #expect(number == 2)
  }

  @Test func valueIsDestroyedWithTheMutex() {
    struct Guarded: ~Copyable {
      let witness: Sum
      deinit { witness.add() }
    }
    let witness = Sum()
    do {
      let mutex = Mutex(Guarded(witness: witness))
      mutex.withLock { _ in }
      #expect(witness.value == 0)
      _ = mutex
    }
    #expect(witness.value == 1)
  }

  /// A mutex that nobody waits for becomes calm; who waits for it makes it watched.
  @Test func releasesBecomePlain() {
    let mutex = Mutex(0)
    #expect(mutex.word.state.load(ordering: .relaxed) == MutexWord.watched)
    for _ in 0..<5000 { mutex.withLock { $0 += 1 } }
    #expect(mutex.word.state.load(ordering: .relaxed) == 0)
    onGoroutine {
      let group = WaitGroup()
      mutex.withLock { _ in
        group.go { mutex.withLock { $0 += 1 } }
        while mutex.word.waiters.waiterCount == 0 { Goroutine.yield() }
        #expect(mutex.word.state.load(ordering: .relaxed) == MutexWord.watched + MutexWord.oneWaiter)
      }
      group.wait()
      #expect(mutex.word.state.load(ordering: .relaxed) == MutexWord.watched)
    }
    #expect(mutex.withLock { $0 } == 5001)
  }

  /// One was to be woken who then got the lock without it.
  @Test func aWakeUpThatNobodyNeedsIsTakenBack() {
    let mutex = Mutex(0)
    mutex.withLock { _ in
      mutex.word.state.bitwiseOr(MutexWord.woken, ordering: .relaxed)
      mutex.word.waiters.release()
    }
    #expect(mutex.word.state.load(ordering: .relaxed) == MutexWord.watched)
    let isLeft = mutex.word.waiters.tryAcquire()
    #expect(!isLeft)
  }

  /// The lock is released while the one who will wait has not yet said that it starves: whoever released it takes it again.
  @Test func aLockThatStarvesAfterItsReleaseIsHandedOver() {
    onGoroutine {
      let mutex = Mutex(0)
      let group = WaitGroup()
      mutex.word.lock()
      group.go { mutex.withLock { $0 += 1 } }
      while mutex.word.waiters.waiterCount == 0 { Goroutine.yield() }
      mutex.word.state.bitwiseOr(MutexWord.starving, ordering: .relaxed)
      mutex.word.holder.store(0, ordering: .relaxed)
      mutex.word.wakeOne()
      group.wait()
      #expect(mutex.withLock { $0 } == 1)
      #expect(mutex.word.state.load(ordering: .relaxed) == MutexWord.watched)
      #expect(mutex.word.holder.load(ordering: .relaxed) == 0)
    }
  }
}

private func exchange<T: ~Copyable>(_ place: inout T, with value: consuming T) -> T {
  let before = place
  place = value
  return before
}
