import Apus

import struct Synchronization.Atomic

/// Rounds of trees, bursts and bursts on stacks of random sizes, several at once. Every goroutine must have run when
/// its round ends, and what its closure or argument held must be released soon after.
@Sendable func spawnStorm(_ run: StressRun) {
  run.withWorkers(4) { _, random in
    while !run.isOver { spawnRound(run, &random) }
  }
}

/// One round of random kind and size.
func spawnRound(_ run: StressRun, _ random: inout Random) {
  let storm = Storm()
  let expected: Int
  switch random.pick(0...3) {
  case 0:
    expected = random.pick(1...5000)
    storm.budget.store(expected, ordering: .relaxed)
    storm.group.add()
    growTree(storm, random.next())
  case 1:
    expected = random.pick(1...5000)
    storm.group.add(expected)
    for _ in 0..<expected {
      go(Parcel(storm)) { $0.arrive() }
      if random.oneIn(500) { Goroutine.yield() }
    }
  case 2:
    expected = random.pick(1...5000)
    for _ in 0..<expected {
      let parcel = Parcel(storm)
      storm.group.go {
        parcel.open()
        Goroutine.yield()
      }
    }
  default:
    expected = random.pick(1...200)
    storm.group.add(expected)
    for _ in 0..<expected {
      let parcel = Parcel(storm)
      go(stackSize: random.pick(16 << 10...1 << 20)) {
        Goroutine.yield()
        parcel.arrive()
      }
    }
  }
  storm.group.wait()
  let ran = storm.ran.load(ordering: .relaxed)
  run.check(ran >= expected, "\(expected - ran) goroutines of \(expected) did not run")
  run.check(ran <= expected, "\(ran - expected) goroutines ran more than once")
  run.count(ran)
  run.countMigrations(storm.elsewhere.load(ordering: .relaxed))
  // A goroutine is done before its closure is released, so the last ones may still be about to.
  let isEmpty = run.waitUntil { storm.parcels.load(ordering: .relaxed) == 0 }
  run.check(isEmpty, "\(storm.parcels.load(ordering: .relaxed)) closures or arguments were not released")
}

/// A goroutine of a tree: it spawns up to four more while the round's budget lasts, and then is done.
///
/// The tree must reach its budget exactly, so a node that finds itself alone with a budget left goes on.
private func growTree(_ storm: Storm, _ seed: UInt64) {
  go((Parcel(storm), seed)) { parcel, seed in
    let storm = parcel.storm
    var random = Random(seed: seed, stream: 0)
    parcel.open()
    let alone = storm.branches.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
    for _ in 0..<random.pick(alone ? 1...4 : 0...4) {
      guard storm.take() else { break }
      storm.branches.wrappingAdd(1, ordering: .acquiringAndReleasing)
      storm.group.add()
      growTree(storm, random.next())
    }
    if random.oneIn(8) { Goroutine.yield() }
    storm.group.done()
  }
}

/// What the goroutines of one round share.
private final class Storm: Sendable {
  let group = WaitGroup()
  /// The goroutines that have run.
  let ran = Atomic<Int>(0)
  /// Those of them that began on another thread than they were spawned on.
  let elsewhere = Atomic<Int>(0)
  /// The parcels that exist.
  let parcels = Atomic<Int>(0)
  /// How many goroutines a tree is to have from here on, the current one included.
  let budget = Atomic<Int>(0)
  /// The goroutines of a tree that are spawned and have not begun.
  let branches = Atomic<Int>(1)

  /// Takes one more goroutine from the budget; false when it is used up. The last one is the root's, which is there
  /// without having been taken.
  func take() -> Bool {
    var budget = budget.load(ordering: .relaxed)
    while budget > 1 {
      let (exchanged, found) = self.budget.weakCompareExchange(
        expected: budget, desired: budget - 1, ordering: .relaxed)
      if exchanged { return true }
      budget = found
    }
    return false
  }
}

/// What a goroutine is given to hold: it counts itself, so that one never released is noticed.
private final class Parcel: Sendable {
  let storm: Storm
  private let origin = ThreadRecord.current.number

  init(_ storm: Storm) {
    self.storm = storm
    storm.parcels.wrappingAdd(1, ordering: .relaxed)
  }

  /// Counts the goroutine that holds it as one that has run.
  func open() {
    if ThreadRecord.current.number != origin { storm.elsewhere.wrappingAdd(1, ordering: .relaxed) }
    storm.ran.wrappingAdd(1, ordering: .relaxed)
  }

  /// Counts the goroutine and has it done.
  func arrive() {
    open()
    storm.group.done()
  }

  deinit { storm.parcels.wrappingSubtract(1, ordering: .relaxed) }
}
