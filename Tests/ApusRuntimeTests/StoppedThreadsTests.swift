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

  /// Two Ps wait and two threads are wanted. The first thread that arrives takes a P, and the second is still wanted; if
  /// somebody else takes a P, one thread is not.
  @Test func aThreadThatIsNotWantedAnyMoreIsCalledOff() {
    #expect(!TemplateThread.isOneTooMany(wanted: 1, arriving: 0, for: 1))
    #expect(TemplateThread.isOneTooMany(wanted: 2, arriving: 0, for: 1))
    #expect(TemplateThread.isOneTooMany(wanted: 1, arriving: 1, for: 1))
    #expect(TemplateThread.isOneTooMany(wanted: 1, arriving: 0, for: 0))
    // What has begun cannot be called off.
    #expect(!TemplateThread.isOneTooMany(wanted: 0, arriving: 2, for: 1))
    #expect(!TemplateThread.isOneTooMany(wanted: 0, arriving: 0, for: 0))
  }

  @Test func theQueueOfProcessorsCounts() {
    var queue = PQueue()
    let processors = (0..<3).map { _ in FakeRecords.processor() }
    for (index, p) in processors.enumerated() {
      queue.append(p)
      #expect(queue.count == index + 1)
    }
    for left in [2, 1, 0, 0] {
      _ = queue.removeFirst()
      #expect(queue.count == left)
    }
  }

  /// Beside many threads who would cost one more runs for longer. A slice that is longer anyway stays as it is.
  @Test func slicesAreLongerBesideMoreThreads() {
    #expect(Slices.prolonged(1_000_000, preempted: 0) == 1_000_000)
    #expect(Slices.prolonged(1_000_000, preempted: 1023) == 1_000_000)
    #expect(Slices.prolonged(1_000_000, preempted: 1024) == 2_000_000)
    #expect(Slices.prolonged(1_000_000, preempted: 5632) == 1_024_000_000)
    #expect(Slices.prolonged(10_000_000, preempted: 5632) == 1_280_000_000)
    #expect(Slices.prolonged(1_000_000, preempted: .max) == 1_280_000_000)
    #expect(Slices.prolonged(3_600_000_000_000, preempted: .max) == 3_600_000_000_000)
  }

  private func numbersFound(in table: borrowing ScannedThreads, of goroutines: [GRef]) -> [Int] {
    var numbers: [Int] = []
    for g in goroutines where table.contains(g) { numbers.append(g.number) }
    return numbers
  }

  @Test func aThreadIsFoundByItsGoroutine() {
    let (threads, goroutines) = (threads(600), FakeRecords.goroutines(1200))
    for (m, g) in zip(threads, goroutines) {
      m.pointee.head.current = UnsafeMutableRawPointer(g).assumingMemoryBound(to: apus_g_head.self)
    }
    var table = ScannedThreads()
    #expect(numbersFound(in: table, of: goroutines).isEmpty)
    for m in threads { table.insert(m) }
    #expect(numbersFound(in: table, of: goroutines) == Array(0..<600))
    // Made anew from the last two, whose links are those of before.
    table.removeAll()
    for m in threads.suffix(2) { table.insert(m) }
    #expect(numbersFound(in: table, of: goroutines) == [598, 599])
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
