import Apus
import Testing

@Suite struct RWMutexTests {
  /// All of them have the lock at the same time: each waits, holding it, for the last.
  @Test(arguments: [1, 3, 4, 50])
  func readersReadTogether(count: Int) throws {
    onGoroutine {
      let lock = RWMutex(0)
      let inside = Channel<Void>(capacity: count)
      let mayLeave = Channel<Void>()
      let group = WaitGroup()
      for _ in 0..<count {
        group.go {
          lock.withReadLock { _ in
            inside.send(())
            _ = mayLeave.receive()
          }
        }
      }
      for _ in 0..<count { _ = inside.receive() }
      mayLeave.close()
      group.wait()
    }
  }

  @Test(arguments: [(1, 1), (3, 10), (10, 10)])
  func writersExcludeAll(readers: Int, steps: Int) throws {
    onGoroutine {
      let lock = RWMutex((0, 0))
      let activity = Sum()
      let group = WaitGroup()
      for writer in 0..<2 {
        group.go {
          for _ in 0..<steps * 50 {
            lock.withWriteLock { value in
              #expect(activity.add(10_000) == 10_000)
              value.0 += 1
              if writer == 0 { Goroutine.yield() }
              value.1 += 1
              activity.add(-10_000)
            }
          }
        }
      }
      for _ in 0..<readers {
        group.go {
          for step in 0..<steps * 100 {
            lock.withReadLock { value in
              #expect(activity.add() < 10_000)
              #expect(value.0 == value.1)
              if step % 5 == 0 { Goroutine.yield() }
              activity.add(-1)
            }
          }
        }
      }
      group.wait()
      #expect(lock.withReadLock { $0.0 } == steps * 100)
    }
  }

  @Test func lockIsAvailableByWhatIsHeld() {
    let lock = RWMutex(0)
    lock.withReadLock { _ in
      #expect(lock.withReadLockIfAvailable { $0 } == 0)
      #expect(lock.withWriteLockIfAvailable { $0 } == nil)
    }
    lock.withWriteLock { _ in
      #expect(lock.withReadLockIfAvailable { $0 } == nil)
      #expect(lock.withWriteLockIfAvailable { $0 } == nil)
    }
    #expect(
      lock.withWriteLockIfAvailable {
        $0 = 5
        return $0
      } == 5)
    #expect(lock.withReadLockIfAvailable { $0 } == 5)
  }

  @Test func lockIsReleasedWhenTheBodyThrows() {
    struct Refusal: Error {}
    let lock = RWMutex(0)
    #expect(throws: Refusal.self) { try lock.withReadLock { _ throws(Refusal) in throw Refusal() } }
    #expect(throws: Refusal.self) { try lock.withWriteLock { _ throws(Refusal) in throw Refusal() } }
    #expect(lock.withWriteLockIfAvailable { $0 } == 0)
  }

  /// A reader holds the lock, a writer waits: a second reader must come after the writer.
  @Test func waitingWriterStopsNewReaders() throws {
    onGoroutine {
      let lock = RWMutex([String]())
      let isReading = Channel<Void>()
      let mayLeave = Channel<Void>()
      let group = WaitGroup()
      group.go {
        lock.withReadLock { _ in
          isReading.send(())
          _ = mayLeave.receive()
        }
      }
      _ = isReading.receive()
      group.go { lock.withWriteLock { $0.append("writer") } }
      // The writer has announced itself when readers are refused.
      #expect(yieldUntil { lock.withReadLockIfAvailable { _ in } == nil })
      let seen = Channel<[String]>(capacity: 1)
      group.go { seen.send(lock.withReadLock { $0 }) }
      for _ in 0..<100 { Goroutine.yield() }
      #expect(seen.count == 0)
      mayLeave.close()
      #expect(seen.receive() == ["writer"])
      group.wait()
    }
  }

  /// A writer holds the lock, then a reader and another writer come: the reader is first, the writers don't pass the lock on
  /// among themselves.
  @Test func waitingReaderComesBeforeTheNextWriter() throws {
    onGoroutine {
      let lock = RWMutex(0)
      let group = WaitGroup()
      let started = WaitGroup()
      let seen = Channel<Int>(capacity: 4)
      lock.withWriteLock { value in
        value = 1
        for _ in 0..<3 {
          started.add()
          group.go {
            started.done()
            seen.send(lock.withReadLock { $0 })
          }
        }
        started.wait()
        // From having said so to waiting they need no more than a few turns.
        for _ in 0..<100 { Goroutine.yield() }
        group.go { lock.withWriteLock { $0 = 2 } }
        for _ in 0..<100 { Goroutine.yield() }
        value = 3
      }
      group.wait()
      for _ in 0..<3 { #expect(seen.receive() == 3) }
      #expect(lock.withReadLock { $0 } == 2)
    }
  }

  @Test func threadBlocksForTheLock() {
    let lock = RWMutex(0)
    let group = WaitGroup()
    for _ in 0..<3 {
      group.go {
        for step in 0..<2000 {
          if step % 10 == 0 {
            lock.withWriteLock { value in
              let before = value
              Goroutine.yield()
              value = before + 1
            }
          } else {
            lock.withReadLock { _ in if step % 16 == 0 { Goroutine.yield() } }
          }
        }
      }
    }
    for step in 0..<2000 {
      if step % 10 == 0 { lock.withWriteLock { $0 += 1 } } else { lock.withReadLock { _ in } }
    }
    group.wait()
    #expect(lock.withReadLock { $0 } == 800)
  }
}
