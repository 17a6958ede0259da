import Apus
import Testing

@Suite struct SelectTests {
  /// A million choices; fewer in debug builds, which take ten times as long for each.
  static var choices: Int {
    #if DEBUG
      60_000
    #else
      1_000_000
    #endif
  }

  // Chi-squared over many choices: by chance beyond the bounds with one seed of a thousand. `countChoices` gives the seed,
  // so the counts are the same in every run.

  @Test func choosesUniformlyAmongTheReady() {
    let counts = onGoroutine { countReceives(Self.choices, of: 8, ready: Array(0..<8), receiveFromEight) }
    // 7 degrees of freedom.
    #expect(chiSquared(counts) < 24.3, "\(counts)")
  }

  @Test func choosesUniformlyAmongSomeReady() {
    // Places 1, 2 and 6 of eight: a choice that went on from a random start would prefer 6 and 1.
    let counts = onGoroutine { countReceives(Self.choices, of: 8, ready: [1, 2, 6], receiveFromEight) }
    // 2 degrees of freedom.
    #expect(chiSquared(counts) < 13.8, "\(counts)")
  }

  @Test func choosesUniformlyFromAnArray() {
    let counts = onGoroutine {
      countReceives(Self.choices / 4, of: 12, ready: [0, 5, 6, 11]) { select(receivingAny: $0).element ?? -1 }
    }
    // 3 degrees of freedom.
    #expect(chiSquared(counts) < 16.2, "\(counts)")
  }

  @Test func choosesUniformlyAmongSends() {
    let counts = onGoroutine {
      let (a, b) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
      return countChoices(Self.choices, among: 2) {
        switch select(a.sending(0), b.sending(1)) {
        case .first: a.receive()!
        case .second: b.receive()!
        }
      }
    }
    // 1 degree of freedom.
    #expect(chiSquared(counts) < 10.8, "\(counts)")
  }

  @Test func waitsForWhicheverComesFirst() {
    let results = onGoroutine {
      let (a, b) = (Channel<Int>(), Channel<String>())
      go(b) { $0.send("b") }
      var results: [String] = []
      switch select(a.receiving, b.receiving) {
      case .first(let value): results.append("a \(String(describing: value))")
      case .second(let value): results.append("b \(value ?? "closed")")
      }
      go(a) { $0.send(5) }
      switch select(a.receiving, b.receiving) {
      case .first(let value?): results.append("a \(value)")
      case .first(nil): results.append("a closed")
      case .second(let value): results.append("b \(value ?? "closed")")
      }
      return results
    }
    #expect(results == ["b b", "a 5"])
  }

  @Test func sendsAndReceives() {
    let results = onGoroutine {
      let (inward, outward) = (Channel<Int>(), Channel<Int>())
      let got = Channel<Int>(capacity: 1)
      go((outward, got)) { outward, got in got.send(outward.receive() ?? -1) }
      var results: [Int] = []
      switch select(inward.receiving, outward.sending(42)) {
      case .first: results.append(-2)
      case .second: results.append(1)
      }
      results.append(got.receive() ?? -3)
      return results
    }
    #expect(results == [1, 42])
  }

  @Test func takesTheDefaultOnlyWhenNothingIsReady() {
    let results = onGoroutine {
      let (a, b) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
      var results: [String] = []
      for _ in 0..<2 {
        switch select(a.receiving, b.receiving, .default) {
        case .first: results.append("a")
        case .second: results.append("b")
        case .third: results.append("default")
        }
        b.send(1)
      }
      switch select(a.receiving, .default) {
      case .first: results.append("a")
      case .second: results.append("default")
      }
      return results
    }
    #expect(results == ["default", "b", "default"])
  }

  @Test func defaultSeesOneMoment() {
    // A token is put into the other channel before it is taken out of the first: at every moment one has it. A choice
    // that looked at the channels one after the other could miss both.
    let missed = onGoroutine {
      let (a, b) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
      let stop = Channel<Never>()
      let moved = WaitGroup()
      a.send(1)
      moved.go {
        while !stop.isClosed {
          b.send(1)
          _ = a.receive()
          a.send(1)
          _ = b.receive()
          Goroutine.yield()
        }
      }
      var missed = 0
      for _ in 0..<2_000 {
        switch select(a.receiving, b.receiving, .default) {
        case .first: a.send(1)
        case .second: b.send(1)
        case .third: missed += 1
        }
        Goroutine.yield()
      }
      stop.close()
      moved.wait()
      return missed
    }
    #expect(missed == 0)
  }

  @Test func aNilOperationNeverProceeds() {
    let results = onGoroutine {
      let (a, b) = (Channel<Int>(capacity: 2), Channel<Int>(capacity: 2))
      a.send(1)
      var results: [String] = []
      for enabled in [false, true] {
        switch select(enabled ? a.receiving : nil, b.receiving, .default) {
        case .first: results.append("a")
        case .second: results.append("b")
        case .third: results.append("default")
        }
      }
      return results
    }
    #expect(results == ["default", "a"])
  }

  @Test func aNilSendNeverProceeds() {
    let results = onGoroutine {
      let (a, b) = (Channel<Int>(capacity: 2), Channel<Int>(capacity: 2))
      var results: [String] = []
      for enabled in [false, true] {
        switch select(enabled ? a.sending(1) : nil, b.receiving, .default) {
        case .first: results.append("a")
        case .second: results.append("b")
        case .third: results.append("default")
        }
      }
      results.append("\(a.count)")
      return results
    }
    #expect(results == ["default", "a", "1"])
  }

  @Test func aClosedChannelIsReadyForReceivers() {
    let closed = onGoroutine {
      let (a, b) = (Channel<Int>(), Channel<Int>())
      a.close()
      var early = false
      if case .first(nil) = select(a.receiving, b.receiving) { early = true }
      let c = Channel<Int>()
      go(c) { $0.close() }
      var late = false
      if case .second(nil) = select(b.receiving, c.receiving) { late = true }
      return [early, late]
    }
    #expect(closed == [true, true])
  }

  @Test func theSameChannelTwice() {
    let results = onGoroutine {
      let c = Channel<Int>()
      go(c) { for i in 0..<100 { $0.send(i) } }
      var results: [Int] = []
      for _ in 0..<100 {
        switch select(c.receiving, c.receiving) {
        case .first(let value?), .second(let value?): results.append(value)
        default: break
        }
      }
      return results
    }
    #expect(results == Array(0..<100))
  }

  @Test func aSelectDoesNotTalkToItself() {
    // One goroutine both sends and receives on the channel: neither can proceed without another.
    let proceeded = onGoroutine {
      let c = Channel<Int>()
      switch select(c.sending(1), c.receiving, .default) {
      case .first, .second: return true
      case .third: return false
      }
    }
    #expect(!proceeded)
  }

  @Test func theOperandsOfALoserAreDestroyedOnce() {
    let alive = onGoroutine {
      let census = Census()
      let (full, ready) = (Channel<Counted>(), Channel<Int>(capacity: 1))
      for round in 0..<100 {
        if round % 2 == 0 {
          ready.send(1)
        } else {
          go(ready) { $0.send(1) }
        }
        switch select(full.sending(Counted(census)), ready.receiving) {
        case .first: return -1
        case .second: break
        }
      }
      return census.alive
    }
    #expect(alive == 0)
  }

  @Test func largeElementsPassThrough() {
    let sum = onGoroutine {
      let (a, b) = (Channel<Bulky>(), Channel<Bulky>())
      for c in [a, b] {
        go(c) { c in for i in 0..<50 { c.send(Bulky(i)) } }
      }
      var sum = 0
      for _ in 0..<100 {
        switch select(a.receiving, b.receiving) {
        case .first(let large?), .second(let large?): sum += large.isIntact ? large.number : -1_000_000
        default: break
        }
      }
      go(b) { c in _ = c.receive() }
      switch select(a.sending(Bulky(1)), b.sending(Bulky(2))) {
      case .first: sum = -1
      case .second: break
      }
      return sum
    }
    #expect(sum == 2 * (0..<50).reduce(0, +))
  }

  @Test func oneOperandGivesItsOwnOutput() {
    let values = onGoroutine {
      let c = Channel<Int>(capacity: 1)
      select(c.sending(3))
      return [select(c.receiving)]
    }
    #expect(values == [3])
  }

  @Test func manyGoroutinesSelectFromEachOther() {
    // Sixteen goroutines that send and receive on four channels by select, and a reader for each channel that takes what
    // is left: every value arrives once.
    let (sent, received) = onGoroutine {
      let channels = (0..<4).map { _ in Channel<Int>() }
      let (working, reading) = (WaitGroup(), WaitGroup())
      let sums = Channel<(sent: Int, received: Int)>(capacity: 20)
      for worker in 0..<16 {
        working.go {
          var (sent, received) = (0, 0)
          let (out, one, two) = (channels[worker % 4], channels[(worker + 1) % 4], channels[(worker + 2) % 4])
          var next = worker * 1000
          while next < worker * 1000 + 200 {
            switch select(out.sending(next), one.receiving, two.receiving) {
            case .first:
              sent += next
              next += 1
            case .second(let value?), .third(let value?): received += value
            case .second(nil), .third(nil): break
            }
          }
          sums.send((sent, received))
        }
      }
      for channel in channels {
        reading.go {
          var received = 0
          while let value = channel.receive() { received += value }
          sums.send((0, received))
        }
      }
      working.wait()
      for channel in channels { channel.close() }
      reading.wait()
      var totals = (0, 0)
      for _ in 0..<20 {
        let sum = sums.receive()!
        totals.0 += sum.sent
        totals.1 += sum.received
      }
      return totals
    }
    #expect(sent == (0..<16).reduce(0) { $0 + 200 * 1000 * $1 + 19900 })
    #expect(sent == received)
  }

  @Test func overAnArray() {
    let results = onGoroutine {
      let channels = (0..<20).map { _ in Channel<Int>() }
      for (i, channel) in channels.enumerated() { go(channel) { $0.send(i) } }
      var seen = Set<Int>()
      for _ in 0..<20 {
        let (index, element) = select(receivingAny: channels)
        if element == index { seen.insert(index) }
      }
      channels[13].close()
      let (index, element) = select(receivingAny: channels)
      return (seen.count, index, element)
    }
    #expect(results.0 == 20)
    #expect(results.1 == 13)
    #expect(results.2 == nil)
  }

  /// Waiting in two places of one queue, and found in one.
  @Test func anArrayMayNameAChannelTwice() {
    let results = onGoroutine {
      let (a, b) = (Channel<Int>(), Channel<Int>())
      go(a) { for number in 0..<50 { $0.send(number) } }
      return (0..<50).map { _ in select(receivingAny: [a, b, a, a]) }
    }
    #expect(results.map(\.element) == Array(0..<50))
    #expect(results.allSatisfy { $0.index != 1 })
  }

  @Test func aChannelOfAnArrayIsClosedMeanwhile() {
    let result = onGoroutine {
      let channels = (0..<3).map { _ in Channel<Int>() }
      go {
        _ = eventually { channels[2].waiting.receivers == 1 }
        channels[1].close()
      }
      let result = select(receivingAny: channels)
      // It stands in no queue any more.
      return (result.index, result.element, channels.map(\.waiting.receivers))
    }
    #expect(result.0 == 1)
    #expect(result.1 == nil)
    #expect(result.2 == [0, 0, 0])
  }
}

private func receiveFromEight(_ c: [Channel<Int>]) -> Int {
  switch select(
    c[0].receiving, c[1].receiving, c[2].receiving, c[3].receiving, c[4].receiving, c[5].receiving, c[6].receiving,
    c[7].receiving)
  {
  case .first(let value?), .second(let value?), .third(let value?), .fourth(let value?), .fifth(let value?),
    .sixth(let value?), .seventh(let value?), .eighth(let value?):
    value
  default: -1
  }
}

/// How many `Counted` there are; used from one goroutine at a time.
private final class Census: @unchecked Sendable {
  var alive = 0
}

private final class Counted {
  private let census: Census
  init(_ census: Census) {
    self.census = census
    census.alive += 1
  }
  deinit { census.alive -= 1 }
}

/// Larger than a goroutine's slot.
private struct Bulky: Sendable {
  var words: (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int)
  init(_ n: Int) { words = (n, n, n, n, n, n, n, n, n, n) }
  var number: Int { words.0 }
  var isIntact: Bool { words.0 == words.9 && words.4 == words.0 }
}
