@testable import ApusRuntime
import CApus
import Synchronization
import Testing

@Suite struct StealTests {
  @Test func takesHalfOfTheRing() throws {
    let (owner, thief) = (FakeRecords.processor(), FakeRecords.processor())
    let goroutines = FakeRecords.goroutines(9)
    for g in goroutines { OwnerQueue(owner).put(g) }
    // Five of nine: the oldest. The last of them is run at once, the others are the thief's queue.
    let first = try #require(OwnerQueue(thief).steal(from: owner, takeNext: false))
    #expect(first.number == 4)
    #expect(OwnerQueue(thief).takeAll() == [0, 1, 2, 3])
    #expect(OwnerQueue(owner).takeAll() == [5, 6, 7, 8])
  }

  @Test func takesNextOnlyWhenAsked() throws {
    let (owner, thief) = (FakeRecords.processor(), FakeRecords.processor())
    let g = FakeRecords.goroutines(1)[0]
    OwnerQueue(owner).putNext(g)
    #expect(OwnerQueue(thief).steal(from: owner, takeNext: false) == nil)
    #expect(OwnerQueue(thief).steal(from: owner, takeNext: true) == g)
    #expect(OwnerQueue(owner).take() == nil && OwnerQueue(thief).take() == nil)
    #expect(OwnerQueue(thief).steal(from: owner, takeNext: true) == nil)
  }

  @Test func leavesNextWhileThereIsARing() throws {
    let (owner, thief) = (FakeRecords.processor(), FakeRecords.processor())
    let goroutines = FakeRecords.goroutines(2)
    OwnerQueue(owner).put(goroutines[0])
    OwnerQueue(owner).putNext(goroutines[1])
    #expect(OwnerQueue(thief).steal(from: owner, takeNext: true) == goroutines[0])
    #expect(OwnerQueue(owner).take()?.g == goroutines[1])
  }

  /// One owner that puts and takes, three thieves on threads of their own: each goroutine comes out once. The ring
  /// overflows meanwhile; the world stands still for that, or a scheduler would run what is in the global queue.
  ///
  /// In a process of its own: a thread of another test may put a goroutine into the global queue at any moment.
  @Test func concurrentThievesLoseNothing() async {
    await #expect(processExitsWith: .success) {
      for _ in 0..<4 { StealTests.raceOnce() }
    }
  }

  private static func raceOnce() {
    let count = 60_000
    let goroutines = FakeRecords.goroutines(count)
    let addresses = goroutines.map { UInt(bitPattern: $0) }
    let processors = (0..<4).map { _ in UInt(bitPattern: FakeRecords.processor()) }
    let seen = Seen(count)
    var stolen = 0
    let shared = withOwnGlobalQueue {
      stolen = race(addresses, processors, seen)
    }
    for g in shared { seen.note(g.number) }
    precondition(seen.counts.allSatisfy { $0 == 1 })
    precondition(stolen > 0)
  }

  private final class Counter: Sendable {
    let value = Atomic<Int>(0)
  }

  /// How often each goroutine came out.
  private final class Seen: Sendable {
    private let cells: [Counter]

    init(_ count: Int) { cells = (0..<count).map { _ in Counter() } }
    func note(_ number: Int) { cells[number].value.wrappingAdd(1, ordering: .relaxed) }
    var counts: [Int] { cells.map { $0.value.load(ordering: .relaxed) } }
  }

  private static func race(_ goroutines: [UInt], _ processors: [UInt], _ seen: Seen) -> Int {
    let stolen = Counter()
    let finished = Counter()
    onThreads(4) { number in
      let mine = PRef(bitPattern: processors[number])!
      let owner = OwnerQueue(mine)
      if number == 0 {
        mine.pointee.status = .running
        for (index, address) in goroutines.enumerated() {
          let g = GRef(bitPattern: address)!
          if index % 3 == 0 { owner.putNext(g) } else { owner.put(g) }
          // Half-way there is something in the ring, and the thieves have all the time they need to find it.
          if index == goroutines.count / 2 {
            while stolen.value.load(ordering: .relaxed) == 0 { apus_sched_yield() }
          }
          // Mostly it takes what it put, to the end of the ring, where it meets the thieves; at times the ring fills up.
          if index % 8 == 0 && index % 20_000 > 1000 {
            while let taken = owner.take() { seen.note(taken.g.number) }
          }
        }
        finished.value.store(1, ordering: .releasing)
        while let taken = owner.take() { seen.note(taken.g.number) }
        return
      }
      let victim = PRef(bitPattern: processors[0])!
      while true {
        let last = finished.value.load(ordering: .acquiring) == 1
        if let g = owner.steal(from: victim, takeNext: number == 1) {
          stolen.value.wrappingAdd(1, ordering: .relaxed)
          seen.note(g.number)
          while let taken = owner.take() { seen.note(taken.g.number) }
        } else if last {
          return
        }
      }
    }
    return stolen.value.load(ordering: .relaxed)
  }
}

@Suite struct StealOrderTests {
  /// For every number of processors up to 64, from every start and in every step that a seed can give.
  @Test func coversEachNumberOnce() {
    var wrong: [String] = []
    for count in 1...64 as ClosedRange<UInt32> {
      for seed in 0..<(count * count) {
        var order = StealOrder(count: count, seed: seed)
        var (seen, steps) = (0 as UInt64, 0)
        while let number = order.next(), steps <= 64 {
          seen |= 1 << UInt64(number)
          steps += 1
        }
        if seen != .max >> UInt64(64 - count) || steps != Int(count) { wrong.append("count \(count), seed \(seed)") }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(3))")
  }

  @Test func seedsGiveDifferentOrders() {
    var orders: Set<[UInt32]> = []
    for seed in 0..<(8 * 8) as Range<UInt32> {
      var order = StealOrder(count: 8, seed: seed)
      orders.insert((0..<8).map { _ in order.next()! })
    }
    // Eight starts, four steps.
    #expect(orders.count == 32)
  }
}
