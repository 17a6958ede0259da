@testable import Apus
import Testing

@Suite struct ChannelTests {
  @Test(arguments: [0, 1, 7])
  func keepsTheOrder(capacity: Int) {
    let received = onGoroutine {
      let numbers = Channel<Int>(capacity: capacity)
      go {
        for number in 0..<1000 { numbers.send(number) }
        numbers.close()
      }
      var received: [Int] = []
      while let number = numbers.receive() { received.append(number) }
      return received
    }
    #expect(received == Array(0..<1000))
  }

  @Test func anUnbufferedSendWaitsForItsReceiver() {
    let (early, value) = onGoroutine {
      let meeting = Channel<Int>()
      let sent = Shared(false)
      let ended = WaitGroup()
      ended.go {
        meeting.send(7)
        sent.value = true
      }
      _ = eventually { meeting.waiting.senders == 1 }
      yieldOften()
      let early = sent.value
      let value = meeting.receive()
      ended.wait()
      return (early || !sent.value, value)
    }
    #expect(!early)
    #expect(value == 7)
  }

  @Test func aBufferTakesItsCapacityAndNoMore() {
    let (counts, waited) = onGoroutine {
      let buffer = Channel<Int>(capacity: 3)
      var counts: [Int] = [buffer.count]
      for number in 0..<3 {
        buffer.send(number)
        counts.append(buffer.count)
      }
      go { buffer.send(3) }
      let waited = eventually { buffer.waiting.senders == 1 }
      counts.append(buffer.count)
      for _ in 0..<4 { counts.append(buffer.receive()!) }
      return (counts, waited)
    }
    #expect(counts == [0, 1, 2, 3, 3, 0, 1, 2, 3])
    #expect(waited)
    #expect(Channel<Int>(capacity: 3).capacity == 3)
  }

  /// The ring is entered at every position: two go in and one comes out in turn.
  @Test func theBufferWrapsAround() {
    let good = onGoroutine {
      let ring = Channel<Int>(capacity: 5)
      var next = 0
      var expected = 0
      for _ in 0..<40 {
        while ring.count < 5 {
          ring.send(next)
          next += 1
        }
        for _ in 0..<3 {
          if ring.receive() != expected { return false }
          expected += 1
        }
      }
      return true
    }
    #expect(good)
  }

  @Test func receiversAreServedFirstComeFirstServed() {
    let served = onGoroutine {
      let numbers = Channel<Int>()
      let places = Channel<(place: Int, number: Int)>(capacity: 20)
      for place in 0..<20 {
        go { places.send((place, numbers.receive()!)) }
        _ = eventually { numbers.waiting.receivers == place + 1 }
      }
      for number in 0..<20 { numbers.send(number) }
      return (0..<20).map { _ in places.receive()! }.sorted { $0.place < $1.place }.map(\.number)
    }
    #expect(served == Array(0..<20))
  }

  @Test(arguments: [0, 2])
  func sendersAreServedFirstComeFirstServed(capacity: Int) {
    let received = onGoroutine {
      let numbers = Channel<Int>(capacity: capacity)
      for number in 0..<capacity { numbers.send(number) }
      for number in 0..<20 {
        go { numbers.send(capacity + number) }
        _ = eventually { numbers.waiting.senders == number + 1 }
      }
      return (0..<(20 + capacity)).map { _ in numbers.receive()! }
    }
    #expect(received == Array(0..<(20 + capacity)))
  }

  @Test func closeWakesEveryReceiver() {
    let results = onGoroutine {
      let silent = Channel<Int>()
      let results = Channel<Int?>(capacity: 100)
      for _ in 0..<100 { go { results.send(silent.receive()) } }
      _ = eventually { silent.waiting.receivers == 100 }
      silent.close()
      return (0..<100).map { _ in results.receive()! }
    }
    #expect(results == Array(repeating: nil, count: 100))
  }

  @Test func aClosedChannelIsDrainedFirst() {
    let received = onGoroutine {
      let numbers = Channel<Int>(capacity: 4)
      for number in 0..<3 { numbers.send(number) }
      let before = numbers.isClosed
      numbers.close()
      let after = numbers.isClosed
      return ((0..<5).map { _ in numbers.receive() }, before, after)
    }
    #expect(received.0 == [0, 1, 2, nil, nil])
    #expect(received.1 == false && received.2 == true)
  }

  @Test func forEachEndsWithTheChannelOrAnError() {
    struct Enough: Error {}
    let (all, some, left) = onGoroutine {
      let numbers = Channel<Int>(capacity: 10)
      for number in 0..<6 { numbers.send(number) }
      var some = 0
      do {
        try numbers.forEach { number throws(Enough) in
          some += 1
          if number == 1 { throw Enough() }
        }
      } catch {
        some += 100
      }
      let left = numbers.count
      numbers.close()
      var all = 0
      numbers.forEach { all += $0 }
      return (all, some, left)
    }
    #expect(all == 2 + 3 + 4 + 5)
    #expect(some == 102)
    #expect(left == 4)
  }

  @Test func nothingTravelsToo() {
    let count = onGoroutine {
      let signals = Channel<Void>(capacity: 2)
      go {
        for _ in 0..<10 { signals.send(()) }
        signals.close()
      }
      var count = 0
      while signals.receive() != nil { count += 1 }
      return count
    }
    #expect(count == 10)
  }

  /// Many senders and receivers: nothing is lost, nothing comes twice, and each receiver sees each sender's in order.
  @Test(arguments: [0, 1, 3, 64])
  func manyToMany(capacity: Int) {
    let (sum, count, ordered) = onGoroutine {
      let numbers = Channel<(sender: Int, number: Int)>(capacity: capacity)
      let results = Channel<(sum: Int, count: Int, ordered: Bool)>()
      let senders = WaitGroup()
      for sender in 0..<8 {
        senders.go {
          for number in 0..<1000 {
            numbers.send((sender, number))
            if number & 63 == sender { Goroutine.yield() }
          }
        }
      }
      for _ in 0..<5 {
        go {
          var last = [Int](repeating: -1, count: 8)
          var result = (sum: 0, count: 0, ordered: true)
          while let (sender, number) = numbers.receive() {
            if number <= last[sender] { result.ordered = false }
            last[sender] = number
            result.sum += number
            result.count += 1
          }
          results.send(result)
        }
      }
      senders.wait()
      numbers.close()
      return (0..<5).reduce((0, 0, true)) { total, _ in
        let result = results.receive()!
        return (total.0 + result.sum, total.1 + result.count, total.2 && result.ordered)
      }
    }
    #expect(sum == 8 * 499_500)
    #expect(count == 8000)
    #expect(ordered)
  }
}
