@testable import ApusRuntime
import CApus
import Foundation
import Synchronization
import Testing

/// Where a stack lies.
struct StackBounds: Hashable {
  var lo: UInt
  var hi: UInt

  static var current: StackBounds {
    let head = currentM().currentG.pointee.head
    return StackBounds(lo: head.stack_lo, hi: head.stack_hi)
  }

  /// How many pages between `lo` and `hi - above` have memory.
  func residentPages(above: UInt = 0) -> Int {
    let pageSize = sched.pointee.facts.pageSize
    let pages = Int(hi - above - lo) / pageSize
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: pages) { map in
      precondition(mincore(UnsafeMutableRawPointer(bitPattern: lo), pages * pageSize, map.baseAddress) == 0)
      return map.count { $0 & 1 != 0 }
    }
  }
}

/// The stacks of goroutines.
final class BoundsLog: Sendable {
  private let entries = Mutex<[StackBounds]>([])

  func add(_ bounds: StackBounds) { entries.withLock { $0.append(bounds) } }
  var all: [StackBounds] { entries.withLock { $0 } }
}

@Suite struct FreeStacksTests {
  @Test func theLastIsTakenFirst() {
    var stacks = FreeStacks()
    stacks.reserve(3)
    for slot in 0..<3 as Range<UInt32> { stacks.push(slot) }
    #expect(stacks.count == 3)
    #expect((0..<4).map { _ in stacks.pop() } == [2, 1, 0, nil])
    #expect(stacks.count == 0)
  }

  /// Those that were there all the time: what came and went, or came since, was needed.
  @Test func theFewestWereNotNeeded() {
    var stacks = FreeStacks()
    stacks.reserve(20)
    for slot in 0..<6 as Range<UInt32> { stacks.push(slot) }
    #expect(stacks.takeUnneeded() == 0)
    #expect(stacks.takeUnneeded() == 6)
    for _ in 0..<4 { _ = stacks.pop() }
    for slot in 0..<8 as Range<UInt32> { stacks.push(slot) }
    #expect(stacks.takeUnneeded() == 2)
    #expect(stacks.takeUnneeded() == 10)
    _ = stacks.pop()
    #expect(stacks.takeUnneeded() == 9)
  }

  /// Who was needed since the last look is not due any more, and who was released does not count again.
  @Test func thoseThatAreReleasedWereNotNeeded() {
    var stacks = FreeStacks()
    stacks.reserve(20)
    for slot in 0..<20 as Range<UInt32> { stacks.push(slot) }
    _ = stacks.takeUnneeded()
    #expect(stacks.takeUnneeded() == 20)
    for _ in 0..<12 { _ = stacks.pop() }
    for slot in 0..<12 as Range<UInt32> { stacks.push(slot) }
    #expect(stacks.unneeded == 8)
    for _ in 0..<8 { #expect(stacks.popForRelease() != nil) }
    #expect(stacks.unneeded == 0 && stacks.count == 12)
    #expect(stacks.takeUnneeded() == 0)
    for _ in 0..<12 { _ = stacks.popForRelease() }
    #expect(stacks.popForRelease() == nil)
    #expect(stacks.unneeded == 0)
  }
}

/// What of the memory of goroutines that have ended goes back to the system.
@Suite struct StackMemoryTests {
  /// Writes to the stack down to about `bytes` below the caller's frame.
  @inline(never)
  private static func touch(_ bytes: Int) -> Int {
    var words = InlineArray<64, Int>(repeating: bytes)
    words[bytes & 63] &+= 1
    return bytes <= 0 ? words[0] : touch(bytes - 512) &+ words[(bytes >> 6) & 63]
  }

  /// A stack of an unusual size gives everything back when its goroutine ends; no other test uses this order.
  @Test func unusualStacksKeepNothing() {
    let log = BoundsLog()
    _ = onGoroutine(stackOrder: 20) {
      log.add(.current)
      return Self.touch(500_000)
    }
    let stack = log.all[0]
    let end = Clock.nanotime() + 30_000_000_000
    while stack.residentPages() > 0 && Clock.nanotime() < end { apus_sched_yield() }
    #expect(stack.residentPages() == 0)
  }

  /// Goroutines go deep at once and end: soon only what is in the processor's cache of 64 keeps more than its top pages,
  /// whether the process goes idle or goes on.
  @Test(arguments: [256, 3000], [false, true]) func deepPagesAreGivenBack(count: Int, goingOn: Bool) async {
    await #expect(processExitsWith: .success) { [count, goingOn] in
      MaxProcs.set(1)
      let stacks = Self.end(count, deep: 150_000)
      func deep() -> Int { stacks.count { $0.residentPages(above: StackWarmth.topmost) > 0 } }
      if goingOn { startGoroutine { while true { _ = Self.touch(100) } } }
      Self.wait("\(deep()) stacks keep their deep pages") { deep() <= StackCache.capacity }
    }
  }

  /// The last memory of a crowd goes after a second or two, too, whether the process goes idle or goes on. While the
  /// processor runs its own cache of 64 stacks stays. If it takes half a second to look, some may be gone before.
  @Test(arguments: [false, true]) func topPagesAreGivenBack(goingOn: Bool) async {
    await #expect(processExitsWith: .success) { [goingOn] in
      MaxProcs.set(1)
      let began = Clock.nanotime()
      let stacks = Self.end(2000, deep: 0)
      let first = Self.resident(stacks)
      precondition(first > 1900 || Clock.nanotime() - began > 500_000_000, "they were given back at once")
      if goingOn { startGoroutine { while true { _ = Self.touch(100) } } }
      let kept = goingOn ? StackCache.capacity : 0
      Self.wait("stacks keep their top pages") { Self.resident(stacks) <= kept }
    }
  }

  /// Of the caches, too, of all processors.
  @Test(arguments: [1, 8]) func anIdleProcessKeepsNothing(processors: Int) async {
    await #expect(processExitsWith: .success) { [processors] in
      MaxProcs.set(processors)
      let stacks = Self.end(1000, deep: 100_000)
      Self.wait("stacks keep memory") { Self.resident(stacks) == 0 }
    }
  }

  /// Only so many as were not needed lose their memory: of 2000 stacks not the 300, with those in the processor's cache, that
  /// are used again and again. A round that takes half a second on a busy machine says nothing.
  @Test func whoComesAgainFindsItsPages() async {
    await #expect(processExitsWith: .success) {
      MaxProcs.set(1)
      var stacks = Set(Self.end(2000, deep: 0))
      func roundKeeps() -> Int {
        let began = Clock.nanotime()
        stacks.formUnion(Self.end(300, deep: 0))
        usleep(100_000)
        let kept = Self.resident(stacks)
        precondition(kept >= 300 - StackCache.capacity || Clock.nanotime() - began > 500_000_000, "\(kept) have pages")
        return kept
      }
      Self.wait("stacks keep their top pages") { roundKeeps() <= 300 + StackCache.capacity }
      for _ in 0..<25 { _ = roundKeeps() }
    }
  }

  /// The monitor takes a hundredth of a processor for it, and its idle process has no wake-ups when it is over.
  @Test func theScavengerDoesNotHurry() async {
    await #expect(processExitsWith: .success) {
      MaxProcs.set(1)
      let stacks = Self.end(20_000, deep: 0)
      let monitor = ThreadFigures.monitor()
      Self.wait("the scavenger does not begin") { Self.resident(stacks) < 19_000 }
      let (began, computed) = (Clock.nanotime(), monitor.computed)
      Self.wait("the scavenger does not end") { Self.resident(stacks) < 1000 }
      let (elapsed, took) = (Clock.nanotime() - began, monitor.computed - computed)
      precondition(took < elapsed / 40, "\(took) of \(elapsed) ns")
      Self.wait("the scavenger does not end") { Self.resident(stacks) == 0 && StackPools.idleCount == 0 }
      // It looks once more, or twice.
      usleep(2_500_000)
      let switches = monitor.switches
      usleep(3_000_000)
      precondition(monitor.switches - switches < 3, "\(monitor.switches - switches) wake-ups")
    }
  }

  /// At once where it is asked for, but for the caller's own stack. What a processor that runs has at hand stays, too, and
  /// what the monitor has in hand: so there has to be one time at which all of them rest.
  @Test(arguments: [1, 8]) func releaseMemoryTakesAll(processors: Int) async {
    await #expect(processExitsWith: .success) { [processors] in
      MaxProcs.set(processors)
      Self.wait("stacks keep memory") {
        let stacks = Self.end(2000, deep: 20_000)
        // Until the other processors are idle.
        usleep(10_000)
        onGoroutine { HeapKnob.releaseMemory() }
        return Self.resident(stacks) <= 1
      }
    }
  }

  /// How many of the stacks have memory.
  private static func resident(_ stacks: some Sequence<StackBounds>) -> Int { stacks.count { $0.residentPages() > 0 } }

  private static func wait(_ complaint: @autoclosure () -> String, until isOver: () -> Bool) {
    let end = Clock.nanotime() + 30_000_000_000
    while !isOver() {
      precondition(Clock.nanotime() < end, complaint())
      usleep(1000)
    }
  }

  /// The stacks of so many goroutines that were deep at the same time and have ended.
  private static func end(_ count: Int, deep bytes: Int) -> [StackBounds] {
    let (log, started, gate, ended) = (BoundsLog(), SemaphoreBox(), SemaphoreBox(), SemaphoreBox())
    for _ in 0..<count {
      startGoroutine {
        _ = touch(bytes)
        log.add(.current)
        started.release()
        gate.acquire(.semaphore)
        ended.release()
      }
    }
    for _ in 0..<count { started.acquire(.semaphore) }
    let size = sched.pointee.facts.pageSize
    precondition(log.all.allSatisfy { $0.residentPages() * size > bytes }, "nothing was touched")
    for _ in 0..<count { gate.release() }
    for _ in 0..<count { ended.acquire(.semaphore) }
    // One more runs only after the last of them has ended.
    onGoroutine {}
    return log.all
  }
}

/// A thread's figures, from the kernel.
private struct ThreadFigures {
  private let directory: String

  /// The thread that watches the processors.
  static func monitor() -> ThreadFigures {
    let threads = try! FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
    let found = threads.first { text("/proc/self/task/\($0)/comm").hasPrefix("apus-sysmon") }
    return ThreadFigures(directory: "/proc/self/task/\(found!)")
  }

  /// Nanoseconds of CPU time.
  var computed: Int64 { Int64(Self.text(directory + "/schedstat").split(separator: " ")[0])! }

  /// How often it has gone to sleep.
  var switches: Int {
    let lines = Self.text(directory + "/status").split(separator: "\n")
    return Int(lines.first { $0.hasPrefix("voluntary_ctxt_switches:") }!.filter(\.isNumber))!
  }

  private static func text(_ path: String) -> String { try! String(contentsOfFile: path, encoding: .utf8) }
}
