import Apus
import Testing

/// The forms that do not wait, and what races with `close`.
@Suite struct ChannelTryTests {
  @Test func trySendGivesBackWhatDoesNotFit() {
    let results = onGoroutine {
      let (full, meeting) = (Channel<Int>(capacity: 1), Channel<Int>())
      return [full.trySend(1), full.trySend(2), meeting.trySend(3), full.receive(), full.trySend(4)]
    }
    #expect(results == [nil, 2, 3, 1, nil])
  }

  @Test func trySendMeetsAWaitingReceiver() {
    let (back, received) = onGoroutine {
      let (meeting, got) = (Channel<Int>(), Channel<Int>(capacity: 1))
      go { got.send(meeting.receive() ?? -1) }
      _ = eventually { meeting.waiting.receivers == 1 }
      return (meeting.trySend(7), got.receive())
    }
    #expect(back == nil)
    #expect(received == 7)
  }

  @Test func tryReceiveTellsEmptyFromClosed() {
    let results = onGoroutine {
      let buffer = Channel<Int>(capacity: 2)
      var results: [Received<Int>] = [buffer.tryReceive()]
      buffer.send(1)
      buffer.send(2)
      buffer.close()
      for _ in 0..<3 { results.append(buffer.tryReceive()) }
      return results
    }
    #expect(results == [.empty, .element(1), .element(2), .closed])
  }

  @Test func tryReceiveMeetsAWaitingSender() {
    let result = onGoroutine {
      let meeting = Channel<Int>()
      go { meeting.send(5) }
      _ = eventually { meeting.waiting.senders == 1 }
      return meeting.tryReceive()
    }
    #expect(result == .element(5))
  }

  @Test func noncopyableElementsComeBackWhole() {
    let numbers = onGoroutine {
      let full = Channel<Coin>(capacity: 1)
      full.send(Coin(number: 1))
      var numbers: [Int] = []
      if let back = full.trySend(Coin(number: 2)) { numbers.append(back.number) }
      switch full.tryReceive() {
      case .element(let coin): numbers.append(coin.number)
      case .empty: numbers.append(-1)
      case .closed: numbers.append(-2)
      }
      return numbers
    }
    #expect(numbers == [2, 1])
  }

  @Test func trySendOnAClosedChannelIsFatal() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine {
        let closed = Channel<Int>(capacity: 1)
        closed.close()
        _ = closed.trySend(1)
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("panic: send on closed channel"))
  }

  @Test func tryReceiveRacesWithClose() {
    // What was sent before the close is received; "closed" is never seen while an element is there.
    let lost = onGoroutine {
      var lost = 0
      for _ in 0..<500 {
        let channel = Channel<Int>(capacity: 1)
        let ended = WaitGroup()
        ended.go {
          channel.send(1)
          channel.close()
        }
        var received = 0
        var isOpen = true
        while isOpen {
          switch channel.tryReceive() {
          case .element: received += 1
          case .empty: Goroutine.yield()
          case .closed: isOpen = false
          }
        }
        ended.wait()
        if received != 1 { lost += 1 }
      }
      return lost
    }
    #expect(lost == 0)
  }

  @Test func aChannelThatIsClosedAndDrainedNeverLooksEmpty() {
    // It has an element, is closed, and is drained: at every moment a receive need not wait.
    let looks = onGoroutine {
      var looks: [Received<Int>] = []
      for round in 0..<50_000 {
        let channel = Channel<Int>(capacity: 1)
        channel.send(1)
        let (look, isReady) = (Channel<Received<Int>>(capacity: 1), SharedCount())
        go {
          isReady.add()
          look.send(channel.tryReceive())
        }
        while isReady.value == 0 { Goroutine.yield() }
        for _ in 0..<round % 64 { isReady.add() }
        channel.close()
        _ = channel.receive()
        looks.append(look.receive()!)
      }
      return looks
    }
    #expect(looks.allSatisfy { $0 != .empty })
  }

  @Test func selectWithDefaultTakesWhatIsClosedMeanwhile() {
    // One channel has an element until the other is closed.
    let missed = onGoroutine {
      var missed = 0
      for round in 0..<50_000 {
        let (full, closing) = (Channel<Int>(capacity: 1), Channel<Int>())
        full.send(1)
        let (proceeded, isReady) = (Channel<Bool>(capacity: 1), SharedCount())
        go {
          isReady.add()
          switch select(full.receiving, closing.receiving, .default) {
          case .first, .second: proceeded.send(true)
          case .third: proceeded.send(false)
          }
        }
        while isReady.value == 0 { Goroutine.yield() }
        for _ in 0..<round % 64 { isReady.add() }
        closing.close()
        _ = full.tryReceive()
        if proceeded.receive() != true { missed += 1 }
      }
      return missed
    }
    #expect(missed == 0)
  }

  @Test func selectWithDefaultSends() {
    let results = onGoroutine {
      let (full, meeting) = (Channel<Int>(capacity: 1), Channel<Int>())
      var results: [Int] = []
      for number in 0..<2 {
        switch select(full.sending(number), .default) {
        case .first: results.append(1)
        case .second: results.append(2)
        }
      }
      switch select(meeting.sending(1), .default) {
      case .first: results.append(1)
      case .second: results.append(2)
      }
      return results
    }
    #expect(results == [1, 2, 2])
  }

  @Test func selectSendingOnAChannelThatIsClosedMeanwhileIsFatal() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine {
        let (a, b) = (Channel<Int>(), Channel<Int>())
        go {
          _ = eventually { a.waiting.senders == 1 }
          a.close()
        }
        switch select(a.sending(1), b.receiving) {
        case .first, .second: break
        }
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("panic: send on closed channel"))
  }

  @Test func aSelectLeavesTheQueuesAsTheyWere() {
    // The same channel twice in a select that waits, with a receiver queued behind it; another channel wakes the select.
    // The receiver must still be reached.
    let (woken, received) = onGoroutine {
      let (twice, other, got) = (Channel<Int>(), Channel<Int>(), Channel<Int>(capacity: 1))
      let woken = Channel<Int>(capacity: 1)
      go {
        switch select(twice.receiving, twice.receiving, other.receiving) {
        case .first: woken.send(1)
        case .second: woken.send(2)
        case .third: woken.send(3)
        }
      }
      _ = eventually { twice.waiting.receivers == 2 }
      go { got.send(twice.receive() ?? -1) }
      _ = eventually { twice.waiting.receivers == 3 }
      other.send(0)
      let place = woken.receive()
      _ = eventually { twice.waiting.receivers == 1 }
      twice.send(9)
      return (place, got.receive())
    }
    #expect(woken == 3)
    #expect(received == 9)
  }

  @Test(arguments: [0, 10])
  func goroutinesThatSendAndReceiveOnOneChannel(capacity: Int) {
    let total = onGoroutine {
      let channel = Channel<Int>(capacity: capacity)
      let ended = WaitGroup()
      let sums = Channel<Int>(capacity: 2)
      for _ in 0..<2 {
        ended.go {
          var (sent, balance) = (0, 0)
          while sent < 500 {
            switch select(channel.sending(sent), channel.receiving) {
            case .first:
              balance += sent
              sent += 1
            case .second(let number?): balance -= number
            case .second(nil): break
            }
          }
          sums.send(balance)
        }
      }
      go {
        ended.wait()
        channel.close()
      }
      // One of the two may be left with nobody to talk to: this takes what it has.
      var rest = 0
      while let number = channel.receive() { rest += number }
      return sums.receive()! + sums.receive()! - rest
    }
    #expect(total == 0)
  }

  @Test func aSelectOverNothingWaitsForEver() async {
    await #expect(processExitsWith: .exitCode(2)) {
      // Nobody else lives in this process's goroutines: main waits in the test library's thread, so the end comes from
      // here.
      onGoroutine {
        let gone = Channel<Int>()
        go {
          _ = select(receivingAny: [Channel<Int>]())
          gone.send(1)
        }
        for _ in 0..<1000 { Goroutine.yield() }
        // It has not gone on: closing what it would send on, and then doing so oneself, is fatal.
        if case .empty = gone.tryReceive() {
          gone.close()
          gone.close()
        }
      }
    }
  }
}

private struct Coin: ~Copyable {
  let number: Int
}
