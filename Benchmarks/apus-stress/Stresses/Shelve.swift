import Apus
import Glibc

import struct Synchronization.Atomic

/// Goroutines that wait in several ways, with counters on their stacks. Their stacks are taken after a millisecond; others,
/// threads that the runtime does not know among them, add to the counters, read them and wake the goroutines at any
/// moment. No addition is lost.
@Sendable func shelve(_ run: StressRun) {
  Runtime.shelveStacks(afterWaiting: .milliseconds(1))
  let procs = Runtime.maxProcs
  let owners = Owners(48)
  let foreign = WaitGroup()
  for place in 0..<2 {
    foreign.add(1)
    startThread {
      var random = run.random(Owners.workers + place)
      while !run.isOver {
        owners.touch(run, at: Owners.workers + place, &random)
        usleep(UInt32(random.pick(0...3000)))
      }
      foreign.done()
    }
  }
  run.withWorkers(Owners.workers) { place, random in
    while !run.isOver {
      for _ in 0..<random.pick(1...20) { owners.touch(run, at: place, &random) }
      if random.oneIn(3) { owners.wake(&random) }
      if random.oneIn(200) { Runtime.maxProcs = random.pick(1...8) }
      Goroutine.sleep(for: .microseconds(random.pick(0...4000)))
      run.count()
    }
  }
  foreign.wait()
  Runtime.maxProcs = procs
  owners.end()
  run.check(owners.missing == 0, "\(owners.missing) additions are lost")
}

/// The goroutines, and what was added in all.
private final class Owners: @unchecked Sendable {
  // Unchecked: `counters` is written before the owners are counted, and read afterwards; each place of `sums` has one user.
  static let workers = 6
  static let places = workers + 2

  private let counters: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<Int>>?>
  /// What each counter has to be.
  private let sums: UnsafeMutablePointer<Int>
  private let bells: [Channel<Int>]
  private let group = WaitGroup()
  private let arrived = Atomic<Int>(0)
  private let added = Atomic<Int>(0)
  private let found = Atomic<Int>(0)

  var missing: Int { added.load(ordering: .relaxed) - found.load(ordering: .relaxed) }

  init(_ count: Int) {
    counters = .allocate(capacity: count)
    counters.initialize(repeating: nil, count: count)
    sums = .allocate(capacity: count * Self.places)
    sums.initialize(repeating: 0, count: count * Self.places)
    bells = (0..<count).map { _ in Channel<Int>() }
    for index in 0..<count { group.go { [self] in own(index) } }
    while arrived.load(ordering: .acquiring) < count { Goroutine.yield() }
  }

  deinit {
    counters.deallocate()
    sums.deallocate()
  }

  @inline(never)
  private func own(_ index: Int) {
    withUnsafeTemporaryAllocation(of: Atomic<Int>.self, capacity: Self.places) { own in
      for place in 0..<Self.places { (own.baseAddress! + place).initialize(to: Atomic(0)) }
      counters[index] = own.baseAddress
      arrived.wrappingAdd(1, ordering: .releasing)
      while let way = bells[index].receive() { wait(way) }
      for place in 0..<Self.places { found.wrappingAdd(own[place].load(ordering: .relaxed), ordering: .relaxed) }
    }
  }

  /// Waits in another way than for the bell, and uses more of the stack.
  @inline(never)
  private func wait(_ way: Int) {
    if way > 8 { return wait(way - 4) }
    switch way & 3 {
    case 0: Goroutine.sleep(for: .milliseconds(way))
    case 1: _ = select(Channel<Int>().receiving, .after(.milliseconds(way)))
    case 2: Goroutine.yield()
    default: break
    }
  }

  /// Adds to a counter of one owner, at a place that is the caller's own, so that it knows what has to be there.
  func touch(_ run: StressRun, at place: Int, _ random: inout Random) {
    let index = random.pick(0...(bells.count - 1))
    let counter = counters[index].unsafelyUnwrapped + place
    let before = counter.pointee.load(ordering: .relaxed)
    counter.pointee.store(before + 1, ordering: .relaxed)
    let sum = sums + (index * Self.places + place)
    run.check(sum.pointee == before, "owner \(index), place \(place): \(before) instead of \(sum.pointee)")
    sum.pointee = before + 1
    added.wrappingAdd(1, ordering: .relaxed)
  }

  func wake(_ random: inout Random) {
    let index = random.pick(0...(bells.count - 1))
    _ = bells[index].trySend(random.pick(0...40))
  }

  func end() {
    for bell in bells { bell.close() }
    group.wait()
  }
}
