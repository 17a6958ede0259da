import Synchronization

/// How many tokens were made and destroyed.
final class Tally: Sendable {
  private let madeCount = Atomic<Int>(0)
  private let destroyedCount = Atomic<Int>(0)

  var made: Int { madeCount.load(ordering: .acquiring) }
  var destroyed: Int { destroyedCount.load(ordering: .acquiring) }

  fileprivate func make() { madeCount.wrappingAdd(1, ordering: .acquiringAndReleasing) }
  fileprivate func destroy() { destroyedCount.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}

/// A reference that counts its end.
final class Token: Sendable {
  let number: Int
  private let tally: Tally

  init(_ number: Int, _ tally: Tally) {
    self.number = number
    self.tally = tally
    tally.make()
  }

  deinit { tally.destroy() }
}

/// A value that cannot be copied and counts its end.
struct UniqueToken: ~Copyable {
  let number: Int
  private let tally: Tally

  init(_ number: Int, _ tally: Tally) {
    self.number = number
    self.tally = tally
    tally.make()
  }

  deinit { tally.destroy() }
}

/// A value of 168 bytes: more than fits into a goroutine's record.
struct Large: Sendable {
  var token: Token
  var words: InlineArray<20, Int>

  init(_ number: Int, _ tally: Tally) {
    token = Token(number, tally)
    words = InlineArray { number &* 31 &+ $0 }
  }

  /// Every word is what it was made as.
  var isWhole: Bool { words.indices.allSatisfy { words[$0] == token.number &* 31 &+ $0 } }
}

/// A value aligned by 16, the most that a type of Swift's own can be.
struct Aligned: Sendable {
  var lanes: SIMD8<Int64>
  var token: Token

  init(_ number: Int, _ tally: Tally) {
    lanes = SIMD8(repeating: Int64(number))
    token = Token(number, tally)
  }

  var isWhole: Bool { lanes == SIMD8(repeating: Int64(token.number)) }
}
