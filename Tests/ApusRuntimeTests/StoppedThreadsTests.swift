@testable import ApusRuntime
import CApus
import Synchronization
import Testing

/// What holds threads and processors that wait for each other.
@Suite struct StoppedThreadsTests {
  private func threads(_ count: Int) -> [MRef] { (0..<count).map { _ in ThreadRecord.map().m } }

  @Test func theQueueIsFirstInFirstOutAndCounts() {
    var queue = StoppedThreads.Queue()
    let threads = threads(4)
    func count() -> Int { queue.count.load(ordering: .relaxed) }
    #expect(queue.removeFirst() == nil)
    #expect(count() == 0)
    for m in threads { queue.append(m) }
    #expect(count() == 4)
    for (index, m) in threads.enumerated() {
      #expect(queue.removeFirst() == m)
      #expect(m.pointee.idleLink == nil)
      #expect(count() == 3 - index)
    }
    #expect(queue.removeFirst() == nil)
  }

  @Test func theQueueIsUsedAgainAfterItWasEmpty() {
    var queue = StoppedThreads.Queue()
    let threads = threads(3)
    queue.append(threads[0])
    #expect(queue.removeFirst() == threads[0])
    queue.append(threads[1])
    queue.append(threads[0])
    #expect(queue.removeFirst() == threads[1])
    queue.append(threads[2])
    #expect(queue.removeFirst() == threads[0])
    #expect(queue.removeFirst() == threads[2])
    #expect(queue.removeFirst() == nil)
  }

  @Test func theQueueTakesSomebodyInFront() {
    var queue = StoppedThreads.Queue()
    let threads = threads(4)
    queue.prepend(threads[1])
    queue.prepend(threads[0])
    queue.append(threads[2])
    #expect(queue.count.load(ordering: .relaxed) == 3)
    #expect(queue.removeFirst() == threads[0])
    #expect(queue.removeFirst() == threads[1])
    queue.prepend(threads[3])
    #expect(queue.removeFirst() == threads[3])
    #expect(queue.removeFirst() == threads[2])
    #expect(queue.removeFirst() == nil)
  }

  @Test func processorsAreFirstInFirstOut() {
    var queue = PQueue()
    let processors = (0..<3).map { _ in FakeRecords.processor() }
    #expect(queue.isEmpty && queue.removeFirst() == nil)
    for p in processors { queue.append(p) }
    #expect(!queue.isEmpty)
    #expect(queue.removeFirst() == processors[0])
    queue.append(processors[0])
    #expect(processors[0].pointee.link == nil)
    #expect(queue.removeFirst() == processors[1])
    #expect(queue.removeFirst() == processors[2])
    #expect(queue.removeFirst() == processors[0])
    #expect(queue.isEmpty && queue.removeFirst() == nil)
  }

  /// The more threads there are, the more rarely a goroutine begins that may cost one more; but it does begin.
  @Test func whatHasNotBegunWaitsForLongerBesideMoreThreads() {
    let many = StoppedThreads.many
    let intervals = (many...many + 1000).map { UnstartedQueue.interval(preempted: $0) }
    #expect(intervals.first == 20_000_000)
    #expect(UnstartedQueue.interval(preempted: 0) == 20_000_000)
    #expect(zip(intervals, intervals.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(UnstartedQueue.interval(preempted: many + 4) == 40_000_000)
    #expect(intervals.last == 1_280_000_000)
  }
}
