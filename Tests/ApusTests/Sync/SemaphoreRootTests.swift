import Apus
import ApusRuntime
import Testing

/// The mechanism under the locks: who is granted what, and who runs then.
@Suite struct SemaphoreRootTests {
  private final class Root: Sendable {
    let semaphore: SemaphoreRoot
    init(_ count: Int) { semaphore = SemaphoreRoot(count) }

    // An expectation can't look into a call on something that can't be copied.
    var waiterCount: Int { semaphore.waiterCount }
    func tryAcquire(_ units: Int = 1) -> Bool { semaphore.tryAcquire(units) }
    func release(_ units: Int = 1) -> Bool { semaphore.release(units) }
  }

  /// Starts a goroutine that acquires `units` and then sends `name`; returns when it waits.
  private static func enqueue(
    _ name: Int, of units: Int = 1, _ root: Root, _ order: Channel<Int>, inFront: Bool = false
  ) {
    let before = root.waiterCount
    go {
      root.semaphore.acquire(units, .semaphore, inFront: inFront)
      order.send(name)
    }
    #expect(yieldUntil { root.waiterCount == before + 1 })
  }

  @Test func handOffRunsTheWaiterFirst() throws {
    onGoroutine {
      let rounds = 2000
      var direct = 0
      for _ in 0..<rounds {
        let root = Root(0)
        let first = Sum()
        let done = WaitGroup()
        done.go {
          root.semaphore.acquire(1, .semaphore)
          first.claim(1)
        }
        #expect(yieldUntil { root.waiterCount == 1 })
        root.semaphore.release(1, handOff: true)
        first.claim(2)
        done.wait()
        if first.value == 1 { direct += 1 }
      }
      // Another processor may steal the caller and run it at once: so not always.
      #expect(direct >= rounds * 2 / 3, "\(direct) of \(rounds) ran first")
    }
  }

  @Test func releaseWithoutHandOffGoesOn() throws {
    onGoroutine {
      let root = Root(0)
      let done = WaitGroup()
      done.go { root.semaphore.acquire(1, .semaphore) }
      #expect(yieldUntil { root.waiterCount == 1 })
      #expect(root.release())
      #expect(root.waiterCount == 0)
      // Granted to the waiter, which may not have run yet: nobody else gets it.
      #expect(!root.tryAcquire())
      done.wait()
    }
  }

  @Test func newcomerCannotTakeWhatWasGranted() throws {
    onGoroutine {
      for _ in 0..<500 {
        let root = Root(0)
        let done = WaitGroup()
        let granted = Sum()
        done.go {
          root.semaphore.acquire(1, .semaphore)
          granted.add()
        }
        #expect(yieldUntil { root.waiterCount == 1 })
        root.semaphore.release()
        #expect(!root.tryAcquire())
        done.wait()
        #expect(granted.value == 1)
      }
    }
  }

  @Test func countIsLimited() {
    let root = Root(SemaphoreRoot.limit - 1)
    #expect(!root.release(2))
    #expect(root.release(1))
    #expect(!root.release(1))
    #expect(root.tryAcquire(SemaphoreRoot.limit))
    #expect(!root.tryAcquire())
  }

  @Test func waitersAreServedInOrder() throws {
    onGoroutine {
      let root = Root(0)
      let order = Channel<Int>(capacity: 10)
      for number in 0..<10 { Self.enqueue(number, root, order) }
      for number in 0..<10 {
        root.semaphore.release()
        #expect(order.receive() == number)
      }
    }
  }

  @Test func waiterInFrontComesFirst() throws {
    onGoroutine {
      let root = Root(0)
      let order = Channel<Int>(capacity: 3)
      Self.enqueue(0, root, order)
      Self.enqueue(1, root, order)
      Self.enqueue(2, root, order, inFront: true)
      for expected in [2, 0, 1] {
        root.semaphore.release()
        #expect(order.receive() == expected)
      }
    }
  }

  @Test func largeWishIsNotStarvedBySmallOnes() throws {
    onGoroutine {
      let root = Root(3)
      let order = Channel<Int>(capacity: 3)
      #expect(root.tryAcquire(2))
      Self.enqueue(0, of: 3, root, order)
      // One unit is there, but somebody waits before them.
      #expect(!root.tryAcquire(1))
      Self.enqueue(1, root, order)
      Self.enqueue(2, root, order)
      root.semaphore.release(1)
      #expect(root.waiterCount == 3)
      root.semaphore.release(1)
      #expect(order.receive() == 0)
      #expect(root.waiterCount == 2)
      // All that is now enough for goes at once.
      root.semaphore.release(3)
      #expect(root.waiterCount == 0)
      #expect(Set([order.receive(), order.receive()]) == [1, 2])
      #expect(root.tryAcquire(1))
      #expect(!root.tryAcquire(1))
    }
  }
}
