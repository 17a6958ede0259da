@testable import ApusRuntime
import Synchronization
import Testing

/// How much one processor takes from the global queue: its share of what is there and one, at most half a ring. In
/// processes of their own: a thread of another test may put a goroutine there at any moment.
@Suite struct GlobalQueueTests {
  /// Puts `count` goroutines there, takes once, and returns the first, what went to the processor, and what stayed.
  private static func take(_ count: Int, limit: Int, procs: Int32) -> (first: Int?, local: [Int], left: [Int]) {
    let goroutines = FakeRecords.goroutines(count)
    let p = FakeRecords.processor()
    var first: GRef?
    let left = withOwnGlobalQueue {
      let m = currentM()
      for g in goroutines { GlobalQueue.put(g) }
      // The world stands still, so that the number may be another for a moment.
      let before = sched.pointee.maxProcs.load(ordering: .relaxed)
      sched.pointee.maxProcs.store(procs, ordering: .relaxed)
      sched.pointee.lock.lock(m)
      first = GlobalQueue.take(for: p, limit: limit)
      sched.pointee.lock.unlock(m)
      sched.pointee.maxProcs.store(before, ordering: .relaxed)
    }
    return (first?.number, OwnerQueue(p).takeAll(), left.map(\.number))
  }

  @Test func takesAShare() async {
    await #expect(processExitsWith: .success) {
      let result = GlobalQueueTests.take(100, limit: .max, procs: 4)
      precondition(result.first == 0)
      precondition(result.local == Array(1..<26))
      precondition(result.left == Array(26..<100))
    }
  }

  @Test func takesNoMoreThanTheLimit() async {
    await #expect(processExitsWith: .success) {
      let result = GlobalQueueTests.take(100, limit: 1, procs: 4)
      precondition(result.first == 0 && result.local == [] && result.left == Array(1..<100))
    }
  }

  @Test func takesNoMoreThanHalfARing() async {
    await #expect(processExitsWith: .success) {
      let result = GlobalQueueTests.take(1000, limit: .max, procs: 1)
      precondition(result.first == 0 && result.local == Array(1..<128) && result.left == Array(128..<1000))
    }
  }

  @Test func takesNoMoreThanThereIs() async {
    await #expect(processExitsWith: .success) {
      let result = GlobalQueueTests.take(3, limit: .max, procs: 1)
      precondition(result.first == 0 && result.local == [1, 2] && result.left == [])
      precondition(GlobalQueueTests.take(0, limit: .max, procs: 1).first == nil)
    }
  }
}
