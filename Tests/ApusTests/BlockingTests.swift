import Apus
import Glibc
import Testing

@Suite struct BlockingTests {
  private struct Failure: Error, Equatable {
    var number: Int
  }

  @Test func theResultComesBack() {
    #expect(onGoroutine { blocking { 42 } } == 42)
    #expect(blocking { "outside a goroutine" } == "outside a goroutine")
  }

  @Test func aResultNeedNotBeCopyable() {
    struct Token: ~Copyable {
      let number: Int
    }
    let number = onGoroutine {
      let token = blocking { Token(number: 7) }
      return token.number
    }
    #expect(number == 7)
  }

  @Test func errorsComeThrough() {
    #expect(throws: Failure(number: 3)) {
      try onGoroutine { () throws(Failure) in
        try blocking { () throws(Failure) -> Int in
          usleep(3000)
          throw Failure(number: 3)
        }
      }
    }
    // The region has ended: this goroutine gives way and comes to its turn again as any other.
    let turns = onGoroutine {
      _ = try? blocking { () throws(Failure) -> Int in throw Failure(number: 4) }
      yieldOften()
      return 1
    }
    #expect(turns == 1)
  }

  @Test func regionsNest() {
    let values = onGoroutine {
      blocking {
        var values: [Int] = []
        for number in 0..<3 {
          values.append(
            blocking {
              usleep(2000)
              return blocking { number }
            })
        }
        return values
      }
    }
    #expect(values == [0, 1, 2])
  }

  /// The end of an inner region, or of a wait inside, is not the end of the outer one: its processor is still others'.
  @Test func aRegionUsesChannels() {
    let answers = onGoroutine {
      let (requests, answers) = (Channel<Int>(), Channel<Int>())
      go {
        while let request = requests.receive() { answers.send(request * 2) }
        answers.close()
      }
      return blocking {
        var received: [Int] = []
        for number in 0..<50 {
          requests.send(number)
          received.append(answers.receive()!)
          if number % 10 == 0 { usleep(1000) }
        }
        requests.close()
        Goroutine.sleep(for: .milliseconds(1))
        return received
      }
    }
    #expect(answers == (0..<50).map { $0 * 2 })
  }

  /// However long the thread had to wait for a processor at the end.
  @Test func errnoStaysAsItIs() {
    let numbers = onGoroutine {
      let group = WaitGroup()
      let results = Channel<CInt>(capacity: 200)
      for worker in 0..<20 {
        group.go {
          for round in 0..<10 {
            let expected = CInt(1 + (worker * 10 + round) % 100)
            blocking {
              usleep(200)
              errno = expected
            }
            results.send(errno == expected ? 0 : errno)
          }
        }
      }
      group.wait()
      results.close()
      var numbers: [CInt] = []
      results.forEach { numbers.append($0) }
      return numbers
    }
    #expect(numbers == [CInt](repeating: 0, count: 200))
  }

  /// Goroutines that sleep in regions, many more than processors, are all in there at the same time.
  @Test func regionsSleepAtOnce() {
    let count = 40
    let met = onGoroutine {
      let inside = SharedCount()
      let group = WaitGroup()
      let results = Channel<Bool>(capacity: count)
      for _ in 0..<count {
        group.go {
          inside.add()
          let everybodyCame = blocking {
            for _ in 0..<20_000 where inside.value < count { usleep(1000) }
            return inside.value == count
          }
          results.send(everybodyCame)
        }
      }
      group.wait()
      results.close()
      var met = 0
      results.forEach { if $0 { met += 1 } }
      return met
    }
    #expect(met == count)
  }
}
