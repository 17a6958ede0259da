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

  @Test func queuesAreJoined() {
    let goroutines = FakeRecords.goroutines(6)
    var (one, two, empty) = (GQueue(), GQueue(), GQueue())
    for g in goroutines[..<3] { one.append(g) }
    for g in goroutines[3...] { two.append(g) }
    empty.append(contentsOf: one)
    empty.append(contentsOf: GQueue())
    empty.append(contentsOf: two)
    #expect(empty.count == 6)
    #expect(empty.removeAll().map(\.number) == [0, 1, 2, 3, 4, 5])
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
    var queue = GQueue()
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
    let before = withGlobalQueue(m) { queue in
      defer { queue = GQueue() }
      return queue
    }
    body()
    withGlobalQueue(m) { queue in
      var after = before
      for g in queue.removeAll() {
        // The records of real goroutines are marked when they are submitted.
        if g.pointee.status == .dead { ours.append(g) } else { after.append(g) }
      }
      queue = after
    }
  }
  return ours
}

private func withGlobalQueue<Value>(_ m: MRef, _ body: (inout GQueue) -> Value) -> Value {
  sched.pointee.lock.lock(m)
  defer {
    sched.pointee.globalCount.store(sched.pointee.global.count, ordering: .sequentiallyConsistent)
    sched.pointee.lock.unlock(m)
  }
  return body(&sched.pointee.global)
}
