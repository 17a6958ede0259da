import Apus
import CApus
import Testing

@Suite struct GoTests {
  @Test func runsAClosure() {
    let answer = Channel<Int>()
    let offset = 2
    go { answer.send(40 + offset) }
    #expect(answer.receive() == 42)
  }

  @Test func movesATrivialArgument() {
    let sum = onGoroutine {
      let results = Channel<Int>()
      for number in 0..<100 { go((number, number * 2)) { results.send($0.0 + $0.1) } }
      var sum = 0
      for _ in 0..<100 { sum += results.receive()! }
      return sum
    }
    #expect(sum == 3 * 4950)
  }

  /// Every argument is destroyed, and once, whether it lies in the goroutine's record or in a box.
  @Test func destroysEveryArgumentOnce() {
    let tally = Tally()
    let wrong = Tally()
    let finished = WaitGroup()
    @Sendable func check(_ good: Bool) {
      if !good { _ = Token(0, wrong) }
      finished.done()
    }
    finished.add(400)
    for number in 0..<100 {
      go(Token(number, tally)) { check($0.number >= 0 && $0.number < 100) }
      go(UniqueToken(number, tally)) { check($0.number >= 0 && $0.number < 100) }
      go(Large(number, tally)) { check($0.isWhole) }
      go(Aligned(number, tally)) { check($0.isWhole) }
    }
    finished.wait()
    #expect(eventually { tally.destroyed >= 400 })
    #expect(onGoroutine { (tally.made, tally.destroyed) } == (400, 400))
    #expect(wrong.made == 0)
  }

  @Test func destroysWhatTheClosureCaptured() {
    let tally = Tally()
    let finished = WaitGroup()
    for number in 0..<100 {
      let token = Token(number, tally)
      finished.go { _ = token.number }
    }
    finished.wait()
    #expect(eventually { tally.destroyed >= 100 })
    #expect(onGoroutine { (tally.made, tally.destroyed) } == (100, 100))
  }

  /// Aligned by 16, the most that a type of Swift's own wants.
  @Test func alignsTheArgument() {
    let misaligned = onGoroutine {
      let results = Channel<Int>()
      let tally = Tally()
      for number in 0..<32 {
        go(Aligned(number, tally)) { argument in
          results.send(withUnsafePointer(to: argument) { Int(bitPattern: $0) & 15 } + (argument.isWhole ? 0 : 1))
        }
      }
      return (0..<32).reduce(0) { sum, _ in sum + results.receive()! }
    }
    #expect(misaligned == 0)
  }

  /// A tree of goroutines: each spawns two, ten levels deep.
  @Test func spawnsFromGoroutines() {
    @Sendable func grow(_ depth: Int, _ leaves: WaitGroup, _ count: Tally) {
      _ = Token(depth, count)
      if depth == 0 { return leaves.done() }
      for _ in 0..<2 { go { grow(depth - 1, leaves, count) } }
    }
    let count = Tally()
    let leaves = WaitGroup()
    leaves.add(1024)
    go { grow(10, leaves, count) }
    leaves.wait()
    #expect(count.made == 2047)
  }

  @inline(never)
  private static func sum(to depth: Int) -> Int {
    var words = (depth, depth, depth, depth, depth, depth, depth, depth)
    return withUnsafeMutableBytes(of: &words) { bytes in
      depth == 0 ? 0 : sum(to: depth - 1) + Int(bytes.load(fromByteOffset: depth & 56, as: Int.self))
    }
  }

  /// Some 15 MB of frames at the least, which no default stack has.
  @Test func stackSizeIsTheGoroutinesOwn() {
    let depth = 100_000
    let results = Channel<Int>()
    go(stackSize: 256 << 20) { results.send(Self.sum(to: depth)) }
    #expect(results.receive() == depth * (depth + 1) / 2)
  }

  @Test func stackSizeBeyondTheLimitsIsTheNearestLimit() {
    let sizes = Channel<UInt>(capacity: 4)
    @Sendable func measure() {
      let head = apus_current_m()!.pointee.current!.pointee
      sizes.send(head.stack_hi - head.stack_lo)
    }
    for size in [-1, 0, 20_000, .max] {
      go(stackSize: size) { measure() }
      #expect(sizes.receive() == [-1: 16384, 0: 16384, 20_000: 32768, .max: 1 << 30][size])
    }
  }

  @Test func everyGoroutineHasANumberOfItsOwn() {
    let (unique, stable) = onGoroutine {
      let results = Channel<(Goroutine.ID, Bool)>()
      for _ in 0..<500 {
        go {
          let before = Goroutine.current
          yieldOften()
          results.send((before!, before == Goroutine.current))
        }
      }
      var numbers: Set<Goroutine.ID> = []
      var stable = true
      for _ in 0..<500 {
        let (number, same) = results.receive()!
        numbers.insert(number)
        stable = stable && same
      }
      return (numbers.count, stable)
    }
    #expect(unique == 500)
    #expect(stable)
  }

  @Test func aThreadOfNobodysHasNoNumber() {
    #expect(Goroutine.current == nil)
    #expect(onGoroutine { Goroutine.current } != nil)
  }
}
