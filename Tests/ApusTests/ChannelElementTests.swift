@testable import Apus
import Testing

/// The three ways of an element (through the buffer, straight to a waiting receiver, from a waiting sender) for every
/// kind of element: each arrives whole, and is destroyed once.
@Suite struct ChannelElementTests {
  /// Nobody else may have it.
  private final class Parcel {
    var number: Int
    init(_ number: Int) { self.number = number }
  }

  /// A closure that says nothing of its type is not `Sequence.forEach`'s, whose elements are anybody's.
  @Test func elementsCanBeSentOn() {
    let sum = onGoroutine {
      let (first, second, third) = (Channel<Parcel>(), Channel<Parcel>(), Channel<Parcel>())
      go {
        for number in 1...10 { first.send(Parcel(number)) }
        first.close()
      }
      go {
        first.forEach { second.send($0) }
        second.close()
      }
      go {
        second.receiver.forEach { third.send($0) }
        third.close()
      }
      var sum = 0
      third.forEach { sum += $0.number }
      return sum
    }
    #expect(sum == 55)
  }

  private enum Way: CaseIterable {
    case buffer
    case waitingReceiver
    case waitingSender
    case waitingSenderBehindBuffer
  }

  /// Moves ten elements each way; `isGood` is asked of each with the number it was made of.
  private func moved<Element: ~Copyable>(
    _ make: @escaping @Sendable (Int) -> sending Element, _ isGood: @escaping @Sendable (borrowing Element, Int) -> Bool
  ) -> [Bool] {
    Way.allCases.map { way in
      onGoroutine {
        let channel = Channel<Element>(capacity: way == .buffer ? 10 : way == .waitingSenderBehindBuffer ? 1 : 0)
        let ended = WaitGroup()
        var good = true
        switch way {
        case .buffer:
          for number in 0..<10 { channel.send(make(number)) }
          for number in 0..<10 { if !isGood(channel.receive()!, number) { good = false } }
        case .waitingReceiver:
          for number in 0..<10 {
            let verdict = Channel<Bool>(capacity: 1)
            ended.go { verdict.send(isGood(channel.receive()!, number)) }
            if !eventually({ channel.waiting.receivers == 1 }) { return false }
            channel.send(make(number))
            if verdict.receive() != true { good = false }
          }
        case .waitingSender, .waitingSenderBehindBuffer:
          for number in 0..<10 {
            ended.go { channel.send(make(number)) }
            if !eventually({ channel.count + channel.waiting.senders == number + 1 }) { return false }
          }
          for number in 0..<10 { if !isGood(channel.receive()!, number) { good = false } }
        }
        ended.wait()
        return good
      }
    }
  }

  private func expectEachDestroyedOnce(_ tally: Tally, _ count: Int) {
    #expect(eventually { tally.destroyed >= count })
    #expect(onGoroutine { (tally.made, tally.destroyed) } == (count, count))
  }

  @Test func referencesMove() {
    let tally = Tally()
    #expect(moved({ Token($0, tally) }, { $0.number == $1 }) == [true, true, true, true])
    expectEachDestroyedOnce(tally, 40)
  }

  @Test func uniqueValuesMove() {
    let tally = Tally()
    #expect(moved({ UniqueToken($0, tally) }, { $0.number == $1 }) == [true, true, true, true])
    expectEachDestroyedOnce(tally, 40)
  }

  @Test func largeValuesMove() {
    let tally = Tally()
    #expect(moved({ Large($0, tally) }, { $0.isWhole && $0.token.number == $1 }) == [true, true, true, true])
    expectEachDestroyedOnce(tally, 40)
  }

  @Test func alignedValuesMove() {
    let tally = Tally()
    #expect(moved({ Aligned($0, tally) }, { $0.isWhole && $0.token.number == $1 }) == [true, true, true, true])
    expectEachDestroyedOnce(tally, 40)
  }

  /// The goroutine's record has 64 bytes aligned by 16: what needs more lies elsewhere while its goroutine waits. No type
  /// of Swift's own wants more alignment.
  @Test func onlyWhatFitsLiesInTheRecord() {
    #expect(HandOver<InlineArray<8, Int>>.fits)
    #expect(!HandOver<InlineArray<9, Int>>.fits)
    #expect(HandOver<SIMD8<Int64>>.fits && MemoryLayout<SIMD8<Int64>>.alignment == 16)
    #expect(!HandOver<SIMD16<Int64>>.fits)
    #expect(HandOver<Void>.fits)
  }

  /// Wherever the ring was entered.
  @Test(arguments: [0, 1, 3])
  func whatIsLeftInAChannelIsDestroyedOnce(before: Int) {
    let tally = Tally()
    onGoroutine {
      let channel = Channel<UniqueToken>(capacity: 4)
      for number in 0..<before {
        channel.send(UniqueToken(number, tally))
        _ = channel.receive()
      }
      for number in 0..<4 { channel.send(UniqueToken(number, tally)) }
      _ = channel.receive()
    }
    expectEachDestroyedOnce(tally, before + 4)
  }
}
