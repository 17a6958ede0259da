import Apus
import Testing

@Suite struct SemaphoreTests {
  /// With one unit it is a mutex.
  @Test func oneUnitExcludes() throws {
    onGoroutine {
      let semaphore = Semaphore(1)
      let inside = Sum()
      let group = WaitGroup()
      for _ in 0..<10 {
        group.go {
          for step in 0..<1000 {
            semaphore.acquire()
            #expect(inside.add() == 1)
            if step % 9 == 0 { Goroutine.yield() }
            inside.add(-1)
            semaphore.release()
          }
        }
      }
      group.wait()
    }
  }

  @Test func neverMoreThanThereAre() throws {
    onGoroutine {
      let units = 6
      let semaphore = Semaphore(units)
      let out = Sum()
      let group = WaitGroup()
      for worker in 0..<units + 1 {
        group.go {
          for step in 0..<500 {
            let wish = (worker + step) % (units + 1)
            semaphore.acquire(wish)
            #expect(out.add(wish) <= units)
            if step % 4 == 0 { Goroutine.yield() }
            out.add(-wish)
            semaphore.release(wish)
          }
        }
      }
      group.wait()
      #expect(semaphore.tryAcquire(units))
      #expect(!semaphore.tryAcquire())
    }
  }

  @Test func tryAcquireTakesOnlyWhatIsThere() {
    let semaphore = Semaphore(2)
    #expect(semaphore.tryAcquire())
    #expect(!semaphore.tryAcquire(2))
    #expect(semaphore.tryAcquire())
    #expect(!semaphore.tryAcquire())
    #expect(semaphore.tryAcquire(0))
    semaphore.release(2)
    #expect(semaphore.tryAcquire(2))
  }

  /// Small wishes that never leave all units free at once do not keep a large one out.
  @Test func largeAcquireIsNotStarved() throws {
    onGoroutine {
      let units = 4
      let semaphore = Semaphore(units)
      let isOver = Flag()
      let group = WaitGroup()
      for _ in 0..<units {
        semaphore.acquire()
        group.go {
          while !isOver.isSet {
            Goroutine.yield()
            semaphore.release()
            semaphore.acquire()
          }
          semaphore.release()
        }
      }
      semaphore.acquire(units)
      isOver.set()
      semaphore.release(units)
      group.wait()
    }
  }

  @Test func releaseServesAsASignal() throws {
    onGoroutine {
      let semaphore = Semaphore(0)
      go { semaphore.release(3) }
      semaphore.acquire(3)
      #expect(!semaphore.tryAcquire())
    }
  }

  @Test func threadBlocksForUnits() {
    let semaphore = Semaphore(0)
    go { for _ in 0..<100 { semaphore.release() } }
    for _ in 0..<100 { semaphore.acquire() }
    #expect(!semaphore.tryAcquire())
  }

  @Test func negativeCountsAreFatal() async {
    let expected = "panic: semaphore: negative count\n"
    let initial = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      _ = Semaphore(-1)
    }
    #expect(text(initial).contains(expected))
    let acquired = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      Semaphore(1).acquire(-1)
    }
    #expect(text(acquired).contains(expected))
    let tried = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      _ = Semaphore(1).tryAcquire(-1)
    }
    #expect(text(tried).contains(expected))
    let released = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      Semaphore(1).release(-1)
    }
    #expect(text(released).contains(expected))
  }

  @Test func tooManyUnitsAreFatal() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let semaphore = Semaphore(Int.max >> 1)
      semaphore.release()
    }
    #expect(text(result).contains("panic: semaphore: count out of range\n"))
  }
}
