@testable import ApusRuntime
import Synchronization
import Testing

/// How much one processor takes from the global queue: its share of what is there and one, at most half a ring.
@Suite struct GlobalQueueTests {
  /// Puts `count` goroutines there, takes once, and returns the first, what went to the processor, and what stayed.
  private func take(_ count: Int, limit: Int, procs: Int32) -> (first: Int?, local: [Int], left: [Int]) {
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

  @Test func takesAShare() {
    let result = take(100, limit: .max, procs: 4)
    #expect(result.first == 0)
    #expect(result.local == Array(1..<26))
    #expect(result.left == Array(26..<100))
  }

  @Test func takesNoMoreThanTheLimit() {
    let result = take(100, limit: 1, procs: 4)
    #expect(result.first == 0 && result.local == [] && result.left == Array(1..<100))
  }

  @Test func takesNoMoreThanHalfARing() {
    let result = take(1000, limit: .max, procs: 1)
    #expect(result.first == 0 && result.local == Array(1..<128) && result.left == Array(128..<1000))
  }

  @Test func takesNoMoreThanThereIs() {
    let result = take(3, limit: .max, procs: 1)
    #expect(result.first == 0 && result.local == [1, 2] && result.left == [])
    #expect(take(0, limit: .max, procs: 1).first == nil)
  }
}
