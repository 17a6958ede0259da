import Apus
import Testing

/// A channel's ends are the channel, seen from one side.
@Suite struct ChannelViewTests {
  @Test(arguments: [0, 3])
  func aLoopReceivesWhatTheSenderSends(capacity: Int) {
    let (byChannel, byReceiver) = onGoroutine {
      var results: [[Int]] = []
      for usesReceiver in [false, true] {
        let channel = Channel<Int>(capacity: capacity)
        go(channel.sender) { sender in
          for number in 0..<10 { sender.send(number) }
          sender.close()
        }
        var numbers: [Int] = []
        if usesReceiver {
          for number in channel.receiver { numbers.append(number) }
        } else {
          for number in channel { numbers.append(number) }
        }
        results.append(numbers)
      }
      return (results[0], results[1])
    }
    #expect(byChannel == Array(0..<10))
    #expect(byReceiver == Array(0..<10))
  }

  @Test func tryFormsAndCountsAreTheChannels() {
    let (counts, refused, received) = onGoroutine {
      let channel = Channel<Int>(capacity: 2)
      let (sender, receiver) = (channel.sender, channel.receiver)
      var counts = [sender.count, sender.capacity, receiver.count, receiver.capacity]
      var refused = [sender.trySend(1), sender.trySend(2), sender.trySend(3)]
      counts += [sender.count, receiver.count, channel.count]
      var received: [Int?] = []
      // Two elements, nothing, and after the close the end.
      for step in 0..<4 {
        if step == 3 { sender.close() }
        switch receiver.tryReceive() {
        case .element(let element): received.append(element)
        case .empty: received.append(nil)
        case .closed: received.append(-1)
        }
      }
      refused.append(receiver.receive())
      return (counts, refused, received)
    }
    #expect(counts == [0, 2, 0, 2, 2, 2, 2])
    #expect(refused == [nil, nil, 3, nil])
    #expect(received == [1, 2, nil, -1])
  }

  @Test func forEachTakesAllUntilAnErrorIsThrown() {
    struct Enough: Error {}
    let (sum, left) = onGoroutine {
      let channel = Channel<Int>(capacity: 4)
      for number in 1...4 { channel.send(number) }
      channel.close()
      var sum = 0
      do {
        try channel.receiver.forEach { number throws(Enough) in
          if number == 3 { throw Enough() }
          sum += number
        }
      } catch {}
      var left = 0
      channel.receiver.forEach { left += $0 }
      return (sum, left)
    }
    #expect(sum == 3)
    #expect(left == 4)
  }

  /// An object that is not `Sendable` leaves its variable for a channel.
  @Test func exchangePutsAnotherInItsPlace() {
    final class Page { var number = 1 }
    let (sent, kept) = onGoroutine {
      let channel = Channel<Page>(capacity: 1)
      var page = Page()
      page.number = 7
      channel.send(exchange(&page, with: Page()))
      return (channel.receive()?.number, page.number)
    }
    #expect(sent == 7)
    #expect(kept == 1)
  }
}
