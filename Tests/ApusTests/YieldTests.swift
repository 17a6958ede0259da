import Apus
import ApusRuntime
import Testing

/// Fairness. In processes of their own, on one processor, where nobody is stopped: there the order is exact.
@Suite struct YieldTests {
  @Test func everyoneGetsItsTurn() async {
    await #expect(processExitsWith: .success) {
      runUndisturbed()
      let log = onGoroutine {
        let log = Shared<[Int]>([])
        let ended = WaitGroup()
        for number in 0..<8 {
          ended.go {
            for _ in 0..<200 {
              log.value.append(number)
              Goroutine.yield()
            }
          }
        }
        ended.wait()
        return log.value
      }
      let round = Array(log.prefix(8))
      precondition(Set(round) == Set(0..<8))
      precondition(log == Array(repeatElement(round, count: 200).joined()))
    }
  }

  /// What stands in the global queue runs although the local queue never gets empty: every 61st round looks there first.
  @Test func theGlobalQueueIsServedBesideABusyLocalOne() async {
    await #expect(processExitsWith: .success) {
      runUndisturbed()
      let (ended, rounds) = (WaitGroup(), Shared(0))
      let stop = Shared(false)
      onGoroutine {
        for _ in 0..<2 {
          ended.go {
            while !stop.value {
              rounds.value += 1
              Goroutine.yield()
            }
          }
        }
      }
      // This thread has no processor: what it starts goes to the global queue.
      onGoroutine { stop.value = true }
      ended.wait()
      precondition(rounds.value > 0)
    }
  }

  /// The same beside two goroutines that wake each other for ever: each is the other's next and shares its slice.
  @Test func theGlobalQueueIsServedBesideAPingPong() async {
    await #expect(processExitsWith: .success) {
      runUndisturbed()
      let (there, back, ended) = (Channel<Int>(), Channel<Int>(), WaitGroup())
      let stop = Shared(false)
      onGoroutine {
        ended.go {
          there.forEach { back.send($0 + 1) }
          back.close()
        }
        ended.go {
          var number = 0
          while !stop.value {
            there.send(number)
            number = back.receive()!
          }
          there.close()
        }
      }
      // This thread has no processor: what it starts goes to the global queue.
      onGoroutine { stop.value = true }
      ended.wait()
    }
  }

  /// The 61st round at the latest, counted from the moment at which the goroutine is in the global queue.
  @Test func theGlobalQueueWaitsForSixtyOneRoundsAtMost() async {
    await #expect(processExitsWith: .success) {
      runUndisturbed()
      let rounds = onGoroutine {
        let rounds = Shared(0)
        let arrived = Shared<Int?>(nil)
        let ended = WaitGroup()
        for _ in 0..<2 {
          ended.go {
            while arrived.value == nil {
              rounds.value += 1
              Goroutine.yield()
            }
          }
        }
        // A goroutine locked to its thread goes through the global queue when it yields.
        ended.go {
          Goroutine.lockToThread()
          rounds.value = 0
          Goroutine.yield()
          arrived.value = rounds.value
        }
        ended.wait()
        return arrived.value!
      }
      precondition(rounds > 0 && rounds <= 61, "after \(rounds) rounds")
    }
  }

  @Test func aThreadOfNobodysMayYield() {
    for _ in 0..<10 { Goroutine.yield() }
    #expect(Goroutine.current == nil)
  }
}

/// One processor, and goroutines give it up only by themselves: on a busy machine a thread may well lie idle for longer
/// than a slice.
private func runUndisturbed() {
  Runtime.maxProcs = 1
  Slices.setAll(3_600_000_000_000)
}
