@testable import ApusRuntime
import CApus
import Synchronization
import Testing

@Suite struct RegistryTests {
  private func records(of list: inout GList) -> [GRef] {
    var records: [GRef] = []
    while let g = list.pop() { records.append(g) }
    return records
  }

  @Test func recordsAreHandedOutOnce() {
    let m = currentM()
    var lists = (0..<10).map { _ in GList() }
    for index in lists.indices { GoroutineRegistry.refill(&lists[index], on: m) }
    #expect(lists.allSatisfy { (1...GoroutineRegistry.localLimit / 2).contains($0.count) })
    let all = lists.indices.map { records(of: &lists[$0]) }
    let flat = all.flatMap { $0 }
    #expect(Set(flat).count == flat.count)
    #expect(flat.allSatisfy { $0.pointee.status == .dead && UInt(bitPattern: $0) % 64 == 0 })
    var back = GList()
    for g in flat { back.push(g) }
    GoroutineRegistry.takeBack(&back)
    #expect(back.count == 0)
  }

  @Test func takeBackKeepsWhatItIsTold() {
    let m = currentM()
    var list = GList()
    while list.count < 40 { GoroutineRegistry.refill(&list, on: m) }
    GoroutineRegistry.takeBack(&list, keeping: 10)
    #expect(list.count == 10)
    GoroutineRegistry.takeBack(&list)
    #expect(list.count == 0)
  }

  /// A thousand goroutines at once and then none: the processor keeps some free records, the shared list has the rest,
  /// and the next thousand need no new ones.
  @Test func recordsReturnToTheSharedList() async {
    await #expect(processExitsWith: .success) {
      MaxProcs.set(1)
      func slabs() -> Int {
        var (count, slab) = (0, sched.pointee.goroutines.slabs)
        while let current = slab { (count, slab) = (count + 1, current.pointee.next) }
        return count
      }
      func crowd() {
        let (started, gate, ended) = (SemaphoreBox(), SemaphoreBox(), SemaphoreBox())
        onGoroutine {
          for _ in 0..<1000 {
            startGoroutine {
              started.release()
              gate.acquire(.semaphore)
              ended.release()
            }
          }
        }
        for _ in 0..<1000 { started.acquire(.semaphore) }
        for _ in 0..<1000 { gate.release() }
        for _ in 0..<1000 { ended.acquire(.semaphore) }
        onGoroutine {}
      }
      crowd()
      let before = slabs()
      precondition(before >= 1000 / GoroutineRegistry.slabCount)
      let kept = onGoroutine { currentM().pointee.p!.pointee.freeG.count }
      precondition(kept < GoroutineRegistry.localLimit, "\(kept) free records on one processor")
      for _ in 0..<5 { crowd() }
      precondition(slabs() <= before + 1, "\(slabs()) slabs after \(before)")
    }
  }

  /// Spawned on a processor and ended on another, spawned where there is none, moved by a change of processors: the sum
  /// is right.
  @Test(arguments: [1, 4])
  func theLiveCountIsTheSum(procs: Int) async {
    await #expect(processExitsWith: .success) { [procs] in
      MaxProcs.set(procs)
      let before = GoroutineRegistry.liveCount
      let (started, gate, ended) = (SemaphoreBox(), SemaphoreBox(), SemaphoreBox())
      @Sendable func wait() {
        started.release()
        gate.acquire(.semaphore)
        ended.release()
      }
      for _ in 0..<50 { startGoroutine { wait() } }
      onGoroutine { for _ in 0..<50 { startGoroutine { wait() } } }
      for _ in 0..<100 { started.acquire(.semaphore) }
      func settles(at count: Int) -> Bool {
        let end = Clock.nanotime() + 30_000_000_000
        while GoroutineRegistry.liveCount != count {
          if Clock.nanotime() > end { return false }
          apus_sched_yield()
        }
        return true
      }
      precondition(settles(at: before + 100))
      MaxProcs.set(procs == 1 ? 3 : 1)
      precondition(GoroutineRegistry.liveCount == before + 100)
      for _ in 0..<100 { gate.release() }
      for _ in 0..<100 { ended.acquire(.semaphore) }
      precondition(settles(at: before))
    }
  }
}

@Suite struct SeedTests {
  /// The published first numbers of splitmix64 from the state 0.
  @Test func mixesAsSplitmix64() {
    let golden: UInt64 = 0x9e37_79b9_7f4a_7c15
    #expect(Seed.mix(golden) == 0xe220_a839_7b1d_cdaf)
    #expect(Seed.mix(golden &* 2) == 0x6e78_9e6a_a1b9_65f4)
    #expect(Seed.mix(golden &* 3) == 0x06c4_5d18_8009_454f)
  }

  @Test func derivesFromTheProcessesSeedAlone() {
    _ = currentM()
    let seeds = (0..<1000).map { Seed.derive($0) }
    #expect(seeds == (0..<1000).map { Seed.derive($0) })
    #expect(Set(seeds).count == 1000)
    #expect(seeds[7] == Seed.mix(sched.pointee.facts.seed &+ 8 &* 0x9e37_79b9_7f4a_7c15))
  }

  @Test func equalStatesGiveEqualRandomNumbers() {
    func numbers(_ seed: UInt64) -> [UInt32] {
      var m = M()
      m.random = seed
      return (0..<100).map { _ in m.nextRandom() }
    }
    #expect(numbers(1) == numbers(1))
    #expect(numbers(1) != numbers(2))
    #expect(Set(numbers(1)).count == 100)
  }
}

@Suite struct WaitQueueTests {
  @Test func firstComeFirstServed() {
    var queue = WaitQueue()
    let goroutines = FakeRecords.goroutines(4)
    #expect(queue.isEmpty && queue.takeFirst() == nil)
    for round in 0..<2 {
      for g in goroutines { queue.append(g.ownWaiter) }
      #expect(!queue.isEmpty)
      #expect((0..<4).map { _ in queue.takeFirst()!.pointee.g.number } == [0, 1, 2, 3], "round \(round)")
      #expect(queue.isEmpty && queue.takeFirst() == nil)
    }
  }

  @Test func theSemaphoreCounts() {
    let semaphore = SemaphoreBox(2)
    let order = onGoroutine {
      semaphore.acquire(.semaphore)
      semaphore.acquire(.semaphore)
      startGoroutine { semaphore.release() }
      semaphore.acquire(.semaphore)
      semaphore.release()
      semaphore.acquire(.semaphore)
      return true
    }
    #expect(order)
  }
}
