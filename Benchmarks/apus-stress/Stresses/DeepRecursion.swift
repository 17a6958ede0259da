import Apus
import Glibc

/// What is left of a stack for the runtime, for C functions and for a debug build's large frames.
private let reserve = 24 << 10
/// The stack of a goroutine that was spawned with no size of its own.
private let defaultStack = 256 << 10

/// Goroutines on stacks of random sizes that recurse to a random depth, down to nearly the end, yield there and
/// sometimes on the way, and check on the way back that every frame still holds what was put into it.
@Sendable func deepRecursion(_ run: StressRun) {
  // With another default the stack is not known here; all goroutines get a size then.
  let defaultIsKnown = getenv("APUS_STACK") == nil
  let ferry = Ferry()
  run.withWorkers(8) { worker, random in
    while !run.isOver {
      let group = WaitGroup()
      for _ in 0..<random.pick(1...8) {
        let usesDefault = defaultIsKnown && random.oneIn(3)
        let size = usesDefault ? defaultStack : random.pick(48 << 10...1 << 20)
        let limit = size - reserve
        let goal = random.oneIn(2) ? limit : random.pick(1 << 10...limit)
        let seed = random.next()
        group.add()
        if usesDefault {
          go { dive(run, ferry, goal, seed, group) }
        } else {
          go(stackSize: size) { dive(run, ferry, goal, seed, group) }
        }
      }
      group.wait()
    }
  }
  ferry.close()
}

/// Recurses until `goal` bytes of the stack are in use and compares what comes back with what the frames were given.
private func dive(_ run: StressRun, _ ferry: Ferry, _ goal: Int, _ seed: UInt64, _ group: WaitGroup) {
  var diver = Diver(
    random: Random(seed: seed, stream: 0), traveller: Traveller(run, on: ferry), top: stackPointer(), goal: goal)
  let sum = diver.descend(1)
  run.check(diver.damaged == 0, "\(diver.damaged) words of \(diver.frames) frames were damaged, goal \(goal)")
  run.check(sum == diver.expected, "wrong checksum of \(diver.frames) frames, goal \(goal)")
  run.count(diver.frames)
  group.done()
}

/// One goroutine's descent.
private struct Diver: ~Copyable {
  var random: Random
  var traveller: Traveller
  let top: Int
  let goal: Int
  var frames = 0
  var damaged = 0
  /// The sum that the descent has to come back with.
  var expected: UInt64 = 0

  init(random: Random, traveller: consuming Traveller, top: Int, goal: Int) {
    self.random = random
    self.traveller = traveller
    self.top = top
    self.goal = goal
  }

  /// Fills a frame of random size, goes on from there, and checks it.
  ///
  /// - Returns: The sum of this frame's and all deeper frames' keys.
  @inline(never)
  mutating func descend(_ depth: UInt64) -> UInt64 {
    frames += 1
    let key = random.next()
    expected &+= key &* depth
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: random.pick(1...48)) { words in
      for index in words.indices { words.initializeElement(at: index, to: key ^ UInt64(index)) }
      var sum: UInt64 = 0
      if top - stackPointer() < goal {
        sum = descend(depth + 1)
      } else {
        for _ in 0..<random.pick(1...3) { traveller.pause(&random) }
      }
      if random.oneIn(64) { traveller.pause(&random) }
      for index in words.indices where words[index] != key ^ UInt64(index) { damaged += 1 }
      return sum &+ (words[0] &* depth)
    }
  }
}

/// About where the stack ends just now.
@inline(never)
private func stackPointer() -> Int {
  var here: UInt8 = 0
  return withUnsafeMutablePointer(to: &here) { Int(bitPattern: $0) }
}
