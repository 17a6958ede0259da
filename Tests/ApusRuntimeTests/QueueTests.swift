@testable import ApusRuntime
import Synchronization
import Testing

@Suite struct LinkedQueueTests {
  @Test func theListIsLastInFirstOut() {
    var list = GList()
    let goroutines = FakeRecords.goroutines(3)
    for g in goroutines { list.push(g) }
    #expect(list.count == 3)
    #expect((0..<3).map { _ in list.pop()!.number } == [2, 1, 0])
    #expect(list.pop() == nil && list.count == 0)
  }

  @Test func theQueueIsFirstInFirstOut() {
    var queue = GQueue()
    let goroutines = FakeRecords.goroutines(4)
    for g in goroutines { queue.append(g) }
    #expect(queue.count == 4)
    #expect(queue.removeAll().map(\.number) == [0, 1, 2, 3])
    #expect(queue.removeFirst() == nil && queue.count == 0)
    queue.append(goroutines[1])
    #expect(queue.removeAll().map(\.number) == [1])
  }

  /// More than one leader's records, and lists of every length in between.
  @Test func theListHandsOutEachRecordOnce() {
    let goroutines = FakeRecords.goroutines(60)
    var list = GList()
    for length in 0...60 {
      for g in goroutines[..<length] { list.push(g) }
      #expect(list.count == length)
      // Some leave and others come, at the border of a leader too.
      let few = min(length, 11)
      let left = (0..<few).compactMap { _ in list.pop() }
      #expect(left.map(\.number) == Array(goroutines[..<length].map(\.number).suffix(few).reversed()))
      for g in left.reversed() { list.push(g) }
      #expect((0..<length).map { _ in list.pop()!.number } == Array((0..<length).reversed()))
      #expect(list.pop() == nil && list.count == 0)
    }
  }

  @Test func theChunkedQueueIsFirstInFirstOut() {
    var queue = ChunkedQueue()
    let goroutines = FakeRecords.goroutines(3 * ChunkedQueue.chunkLimit + 1)
    #expect(queue.removeFirst() == nil)
    // Twice, the second time in chunks that were used before.
    for round in 0..<2 {
      for length in [0, 1, ChunkedQueue.chunkLimit, ChunkedQueue.chunkLimit + 1, goroutines.count] {
        for g in goroutines[..<length] { queue.append(g) }
        #expect(queue.count == length)
        #expect(queue.removeAll().map(\.number) == Array(0..<length), "round \(round)")
        #expect(queue.count == 0)
      }
    }
  }

  /// Some come and some leave, so that chunks are emptied at one end while they are filled at the other, and what is
  /// inside goes up and down over more than a chunk.
  @Test func theChunkedQueueReusesItsChunks() {
    var queue = ChunkedQueue()
    let goroutines = FakeRecords.goroutines(1000)
    var (came, left) = (0, 0)
    var numbers: [Int] = []
    for (arriving, leaving) in [(100, 30), (1, 1), (200, 270), (150, 20), (0, 64), (500, 500), (49, 115)] {
      for g in goroutines[came..<(came + arriving)] { queue.append(g) }
      came += arriving
      for _ in 0..<leaving { numbers.append(queue.removeFirst()!.number) }
      left += leaving
      #expect(queue.count == came - left)
    }
    #expect(came == 1000 && left == 1000)
    #expect(numbers == Array(0..<1000))
    // At most 566 at once, which begin and end somewhere in a chunk.
    #expect(queue.chunksMade <= 566 / ChunkedQueue.chunkLimit + 2)
  }
}

/// The queue as its owner uses it.
@Suite struct OwnerQueueTests {
  @Test func theRingIsFirstInFirstOut() {
    let owner = OwnerQueue(FakeRecords.processor())
    let goroutines = FakeRecords.goroutines(300)
    var expected: [Int] = []
    var taken: [Int] = []
    // More than the ring holds goes through it: positions wrap.
    for start in stride(from: 0, to: 300, by: 30) {
      for g in goroutines[start..<(start + 30)] {
        owner.put(g)
        expected.append(g.number)
      }
      taken += owner.takeAll()
    }
    #expect(taken == expected)
    #expect(owner.isEmpty)
  }

  @Test func nextGoesFirstAndSharesTheSlice() throws {
    let p = FakeRecords.processor()
    let owner = OwnerQueue(p)
    let goroutines = FakeRecords.goroutines(4)
    owner.put(goroutines[0])
    owner.putNext(goroutines[1])
    #expect(p.pointee.queue.count == 2 && !p.pointee.queue.isEmpty)
    // The one that was next goes to the end.
    owner.putNext(goroutines[2])
    owner.putLast(goroutines[3])
    let first = try #require(owner.take())
    #expect(first.g.number == 2 && first.inherits)
    let second = try #require(owner.take())
    #expect(second.g.number == 0 && !second.inherits)
    #expect(owner.takeAll() == [1, 3])
    #expect(owner.take() == nil && owner.isEmpty && p.pointee.queue.isEmpty && p.pointee.queue.count == 0)
  }

  @Test func aQueueWithOnlyNextIsNotEmpty() {
    let p = FakeRecords.processor()
    OwnerQueue(p).putNext(FakeRecords.goroutines(1)[0])
    #expect(!OwnerQueue(p).isEmpty && !p.pointee.queue.isEmpty && p.pointee.queue.count == 1)
  }

  @Test func drainTakesEverything() {
    let owner = OwnerQueue(FakeRecords.processor())
    let goroutines = FakeRecords.goroutines(20)
    for g in goroutines[..<19] { owner.put(g) }
    owner.putNext(goroutines[19])
    var queue = ChunkedQueue()
    owner.drain(into: &queue)
    #expect(queue.removeAll().map(\.number) == [19] + Array(0..<19))
    #expect(owner.isEmpty)
  }

  /// With the ring full, its older half and the newcomer go to the global queue, in order.
  @Test func aFullRingGivesHalfToTheGlobalQueue() async {
    // In a process of its own: a thread of another test may put a goroutine into the global queue at any moment.
    await #expect(processExitsWith: .success) {
      let goroutines = FakeRecords.goroutines(257)
      let p = FakeRecords.processor()
      let shared = withOwnGlobalQueue {
        for g in goroutines { OwnerQueue(p).put(g) }
      }
      precondition(shared.map(\.number) == Array(0..<128) + [256])
      precondition(OwnerQueue(p).takeAll() == Array(128..<256))
    }
  }

  /// When thieves were there meanwhile, nothing overflows.
  @Test func aRingThatIsNotFullKeepsEverything() async {
    // In a process of its own: a thread of another test may put a goroutine into the global queue at any moment.
    await #expect(processExitsWith: .success) {
      let goroutines = FakeRecords.goroutines(300)
      let p = FakeRecords.processor()
      let shared = withOwnGlobalQueue {
        for (index, g) in goroutines.enumerated() {
          OwnerQueue(p).put(g)
          if index == 255 { for _ in 0..<44 { _ = OwnerQueue(p).take() } }
        }
      }
      precondition(shared.isEmpty)
      precondition(OwnerQueue(p).takeAll() == Array(44..<300))
    }
  }
}

/// Stops the world, runs `body` and returns what it left in the global queue. Real goroutines that are there, or are put
/// there meanwhile by threads without a P, stay.
func withOwnGlobalQueue(_ body: () -> Void) -> [GRef] {
  var ours: [GRef] = []
  StopTheWorld.run { m in
    let before = withGlobalQueue(m) { $0.removeAll() }
    body()
    withGlobalQueue(m) { queue in
      let after = queue.removeAll()
      for g in before { queue.append(g) }
      for g in after {
        // The records of real goroutines are marked when they are submitted.
        if g.pointee.status == .dead { ours.append(g) } else { queue.append(g) }
      }
    }
  }
  return ours
}

private func withGlobalQueue<Value>(_ m: MRef, _ body: (inout ChunkedQueue) -> Value) -> Value {
  sched.pointee.lock.lock(m)
  defer {
    sched.pointee.globalCount.store(sched.pointee.global.count, ordering: .sequentiallyConsistent)
    sched.pointee.lock.unlock(m)
  }
  return body(&sched.pointee.global)
}
