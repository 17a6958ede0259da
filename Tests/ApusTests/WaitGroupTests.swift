import Apus
import Testing

@Suite struct WaitGroupTests {
  @Test func waitsForAll() {
    let finished = WaitGroup()
    let tally = Tally()
    for number in 0..<1000 {
      finished.go {
        if number & 7 == 0 { Goroutine.yield() }
        _ = Token(number, tally)
      }
    }
    finished.wait()
    #expect(tally.destroyed == 1000)
  }

  @Test func doesNotWaitAtZero() {
    let empty = WaitGroup()
    empty.wait()
    empty.add(2)
    empty.add(-2)
    empty.wait()
    onGoroutine { empty.wait() }
  }

  @Test func doesNotReturnEarly() {
    let early = onGoroutine {
      let group = WaitGroup()
      let result = Channel<Bool>(capacity: 1)
      let last = Shared(false)
      group.add(2)
      go {
        group.wait()
        result.send(!last.value)
      }
      group.done()
      yieldOften()
      last.value = true
      group.done()
      return result.receive()!
    }
    #expect(!early)
  }

  /// Goroutines and a foreign thread wait for the same counter; all are woken, round after round.
  @Test func wakesEveryWaiterAndCanBeUsedAgain() {
    let counter = WaitGroup()
    let woken = WaitGroup()
    for _ in 0..<50 {
      counter.add(1)
      for _ in 0..<20 { woken.go { counter.wait() } }
      go { counter.done() }
      counter.wait()
      woken.wait()
    }
  }
}
