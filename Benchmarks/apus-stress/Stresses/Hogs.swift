import Apus
import CStress
import Glibc

import struct Synchronization.Atomic

/// Goroutines that compute without coming to a scheduling point, more of them than processors, so that each is stopped
/// in the middle of whatever it does: inside malloc, a reference count, a lock of the C library's or of Swift's, `print`,
/// or with vector registers full. What comes out has to be right.
@Sendable func hogs(_ run: StressRun) {
  stress_silence()
  defer { stress_speak() }
  let common = HogCommon()
  besideTicker(run) {
    run.withWorkers(Runtime.maxProcs + 10) { worker, random in
      while !run.isOver {
        let kind = random.pick(0...hogKinds.count - 1)
        hogKinds[kind](run, common, &random)
        run.count()
      }
    }
  }
  run.check(run.waitUntil { common.isAtRest }, "objects are left over, or gone that should not be")
  common.close()
}

typealias HogKind = @Sendable (StressRun, HogCommon, inout Random) -> Void

private let hogKinds: [HogKind] = [
  numbers, floatingVectors, vectorRegisters, mallocs, references, hogStrings, hogDictionary, printing, openAccess,
  swiftMutex, pthreadMutex, recursiveMutex, readWriteLock, goroutineMutex, offspring,
]

/// Without memory or calls: a linear congruence, against its closed form.
private func numbers(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let (seed, rounds) = (random.next(), UInt64(random.pick(1...2_000_000)))
  var number = seed
  for _ in 0..<rounds { number = number &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407 }
  // The power of the step by squaring.
  var (factor, summand) = (UInt64(6_364_136_223_846_793_005), UInt64(1_442_695_040_888_963_407))
  var (allFactor, allSummand) = (UInt64(1), UInt64(0))
  var left = rounds
  while left > 0 {
    if left & 1 == 1 { (allFactor, allSummand) = (allFactor &* factor, allSummand &* factor &+ summand) }
    (factor, summand) = (factor &* factor, summand &* factor &+ summand)
    left >>= 1
  }
  run.check(number == seed &* allFactor &+ allSummand, "\(rounds) steps from \(seed) led to \(number)")
}

/// Doubles in vectors, with sums that are exact.
private func floatingVectors(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let lanes = SIMD8<Double>(1, 2, 3, 4, 5, 6, 7, 8)
  let rounds = random.pick(1...300_000)
  var (sum, weighted) = (SIMD8<Double>(), SIMD8<Double>())
  for round in 0..<rounds {
    sum += lanes
    weighted += lanes * Double(round)
  }
  let (count, triangle) = (Double(rounds), Double(rounds * (rounds - 1) / 2))
  run.check(sum == lanes * count && weighted == lanes * triangle, "sums of vectors are wrong after \(rounds) rounds")
}

private func vectorRegisters(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let (seed, rounds) = (random.next(), UInt64(random.pick(1...200_000)))
  run.check(stress_vectors(seed, rounds) == 1, "vector registers have lost something in \(rounds) rounds from \(seed)")
}

/// Blocks of many sizes, each full of its own pattern.
private func mallocs(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  var blocks: [(address: UnsafeMutableRawPointer, size: Int, pattern: UInt8)] = []
  func release(_ index: Int) {
    let block = blocks.remove(at: index)
    let bytes = UnsafeRawBufferPointer(start: block.address, count: block.size)
    run.check(bytes.allSatisfy { $0 == block.pattern }, "a block of \(block.size) bytes was overwritten")
    free(block.address)
  }
  for _ in 0..<random.pick(10...400) {
    if blocks.count > 40 || (!blocks.isEmpty && random.oneIn(3)) {
      release(random.pick(0...blocks.count - 1))
    } else {
      let size = random.oneIn(40) ? random.pick(1...300_000) : random.pick(1...2000)
      let pattern = UInt8(truncatingIfNeeded: random.next())
      guard let address = malloc(size) else { fatalError("no memory") }
      memset(address, CInt(pattern), size)
      blocks.append((address, size, pattern))
    }
  }
  while !blocks.isEmpty { release(blocks.count - 1) }
}

/// References to objects that all hogs share, and to objects that live for a moment.
private func references(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  var held: [Counted] = []
  var sum = 0
  for _ in 0..<random.pick(100...20_000) {
    let node = common.nodes[random.pick(0...common.nodes.count - 1)]
    if held.count < 50 { held.append(node) } else { held[random.pick(0...49)] = node }
    if random.oneIn(20) { held[random.pick(0...held.count - 1)] = Counted(common.lives, next: node) }
    sum &+= held[random.pick(0...held.count - 1)].sum
  }
  run.check(sum != 0 && held.allSatisfy { $0.sum > 0 }, "an object has lost its value")
}

private func hogStrings(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let words = (0..<random.pick(1...300)).map { number in "\(number)-\(random.next() % 1000)-ö字" }
  var text = ""
  for word in words {
    text += word
    text.append(" ")
  }
  run.check(text.split(separator: " ").elementsEqual(words) { $0 == $1 }, "a text has come apart into other words")
  let count = words.reduce(0) { $0 + $1.utf8.count + 1 }
  run.check(text.utf8.count == count, "a text has \(text.utf8.count) bytes in place of \(count)")
}

private func hogDictionary(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let count = random.pick(1...3000)
  var squares: [Int: String] = [:]
  for number in 0..<count { squares[number] = String(number * number) }
  for number in stride(from: 0, to: count, by: 3) { squares[number] = nil }
  let isRight = (0..<count).allSatisfy { squares[$0] == ($0 % 3 == 0 ? nil : String($0 * $0)) }
  run.check(isRight, "a dictionary of \(count) entries is wrong")
}

/// `print` and C's streams, each behind a lock that belongs to a thread.
private func printing(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  for number in 0..<random.pick(1...300) {
    print("hog", number, Double(number) / 7, [number, number + 1])
    if fputs("a line of a stream\n", common.stream) < 0 { run.check(false, "fputs failed, error \(errno)") }
    if random.oneIn(50) { fflush(common.stream) }
  }
}

/// Computes inside exclusive accesses, which Swift keeps in a list of the thread's.
private func openAccess(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let box = Box()
  func fill(_ numbers: inout [Int], _ count: Int) {
    for number in 0..<count {
      numbers.append(number)
      modify(&box.total) { total in for _ in 0..<50 { total &+= number } }
    }
  }
  let count = random.pick(1...20_000)
  fill(&box.numbers, count)
  run.check(
    box.numbers.count == count && box.total == 50 * count * (count - 1) / 2, "an access has lost what was written")
}

private func modify(_ value: inout Int, _ body: (inout Int) -> Void) { body(&value) }

private final class Box {
  var numbers: [Int] = []
  var total = 0
}

/// Goroutines that are hogs themselves, and end.
private func offspring(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  let results = Channel<Int>(capacity: 4)
  let count = random.pick(1...4)
  let rounds = random.pick(1...300_000)
  for _ in 0..<count {
    go {
      var number = 0
      for round in 0..<rounds { number = number ^ (round &* 31) }
      results.send(number)
    }
  }
  var numbers: [Int] = []
  for _ in 0..<count { numbers.append(results.receive()!) }
  run.check(numbers.allSatisfy { $0 == numbers[0] }, "goroutines that did the same have other results")
}
