import Apus
import CApus
import Glibc

import struct Synchronization.Atomic

/// What several goroutines and threads count, and how they are told to begin or end.
final class Shared: Sendable {
  let count = Atomic<Int>(0)
  let isSet = Atomic<Bool>(false)
}

/// They wake with their values.
func wake(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  let wrong = sleepers.wake()
  print("wrong \(wrong) faults \(apus_shelf_faults())")
}

/// Another goroutine reads their values.
func readFromOutside(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  let wrong = Shared()
  let readers = WaitGroup()
  for _ in 0..<4 {
    readers.go { wrong.count.wrappingAdd(sleepers.countWrong(), ordering: .relaxed) }
  }
  readers.wait()
  let faults = apus_shelf_faults()
  print("read wrong \(wrong.count.load(ordering: .relaxed)) wrong \(sleepers.wake()) faults \(Int(faults) >= count)")
}

/// Another goroutine writes them.
func writeFromOutside(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start { ~$0 }
  awaitShelved(count)
  let writer = WaitGroup()
  writer.go {
    for index in 0..<count {
      for place in 0..<Sleepers.each { sleepers.values[index]![place] = ~Sleepers.value(index, place) }
    }
  }
  writer.wait()
  let faults = apus_shelf_faults()
  print("wrong \(sleepers.wake()) faults \(Int(faults) >= count)")
}

/// Goroutines that own a counter on their stacks, which others add to all the time while they wake and wait again.
final class Counters: @unchecked Sendable {
  // Unchecked: see `Sleepers`.
  let counters: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<Int>>?>
  let bells: [Channel<Void>]
  let group = WaitGroup()
  let arrived = Atomic<Int>(0)
  let sum = Atomic<Int>(0)
  let turns = Atomic<Int>(0)

  init(_ count: Int) {
    counters = .allocate(capacity: count)
    counters.initialize(repeating: nil, count: count)
    bells = (0..<count).map { _ in Channel<Void>() }
    for index in 0..<count { group.go { [self] in hold(index) } }
    while arrived.load(ordering: .relaxed) < count { Goroutine.yield() }
  }

  @inline(never)
  private func hold(_ index: Int) {
    withUnsafeTemporaryAllocation(of: Atomic<Int>.self, capacity: 8) { own in
      for place in 0..<8 { (own.baseAddress! + place).initialize(to: Atomic(0)) }
      counters[index] = own.baseAddress
      arrived.wrappingAdd(1, ordering: .releasing)
      while bells[index].receive() != nil { turns.wrappingAdd(1, ordering: .relaxed) }
      for place in 0..<8 { sum.wrappingAdd(own[place].load(ordering: .relaxed), ordering: .relaxed) }
    }
  }
}

/// Others write at the very moment at which the stacks are brought back for their goroutines.
func writeWhileWaking(_ rounds: Int) {
  let size = 16
  let counters = Counters(size)
  let added = Shared()
  for _ in 0..<rounds {
    awaitShelved(size)
    let start = Shared()
    let writers = WaitGroup()
    for writer in 0..<2 {
      writers.go {
        while !start.isSet.load(ordering: .acquiring) { Goroutine.yield() }
        for index in 0..<size {
          counters.counters[index]![writer].wrappingAdd(1, ordering: .relaxed)
          counters.counters[index]![writer + 6].wrappingAdd(1, ordering: .relaxed)
          added.count.wrappingAdd(2, ordering: .relaxed)
        }
      }
    }
    start.isSet.store(true, ordering: .releasing)
    for index in 0..<size { counters.bells[index].send(()) }
    writers.wait()
  }
  for bell in counters.bells { bell.close() }
  counters.group.wait()
  print("lost \(added.count.load(ordering: .relaxed) - counters.sum.load(ordering: .relaxed))")
}

/// Threads that the runtime does not know write all the time, at any moment of taking and bringing back.
func writeAllTheTime(_ milliseconds: Int) {
  let size = 8
  let counters = Counters(size)
  let shared = Shared()
  let writers = WaitGroup()
  for place in 0..<2 {
    let body = Unmanaged.passRetained(Writer(counters.counters, size, place, shared, writers)).toOpaque()
    var thread = pthread_t()
    writers.add(1)
    pthread_create(
      &thread, nil,
      {
        Unmanaged<Writer>.fromOpaque($0!).takeRetainedValue().run()
        return nil
      }, body)
    pthread_detach(thread)
  }
  let end = ContinuousClock.now + .milliseconds(milliseconds)
  var taken = apus_shelf_taken()
  while ContinuousClock.now < end {
    // Now and then all are woken, as soon as some were taken anew.
    while apus_shelf_taken() < taken + 4 && ContinuousClock.now < end { Goroutine.sleep(for: .microseconds(50)) }
    taken = apus_shelf_taken()
    for index in 0..<size { counters.bells[index].send(()) }
  }
  shared.isSet.store(true, ordering: .releasing)
  writers.wait()
  for bell in counters.bells { bell.close() }
  counters.group.wait()
  let lost = shared.count.load(ordering: .relaxed) - counters.sum.load(ordering: .relaxed)
  print("lost \(lost) taken \(apus_shelf_taken() > 100) faults \(apus_shelf_faults() > 0)")
}

/// Adds to the counters, with pauses in which their stacks are taken.
private final class Writer {
  private let counters: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<Int>>?>
  private let size: Int
  private let place: Int
  private let shared: Shared
  private let writers: WaitGroup

  init(
    _ counters: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<Int>>?>, _ size: Int, _ place: Int, _ shared: Shared,
    _ writers: WaitGroup
  ) {
    self.counters = counters
    self.size = size
    self.place = place
    self.shared = shared
    self.writers = writers
  }

  func run() {
    var sums = [Int](repeating: 0, count: size)
    var wrong = 0
    while !shared.isSet.load(ordering: .acquiring) {
      for index in 0..<size {
        // A read and a write, each of which may meet the stack in another state.
        for _ in 0..<200 {
          let before = counters[index]![place].load(ordering: .relaxed)
          counters[index]![place].store(before + 1, ordering: .relaxed)
          if before != sums[index] { wrong += 1 }
          sums[index] = before + 1
        }
      }
      usleep(100)
    }
    shared.count.wrappingAdd(sums.reduce(0, +) - wrong, ordering: .relaxed)
    writers.done()
  }
}
