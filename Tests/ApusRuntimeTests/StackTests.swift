@testable import ApusRuntime
import CApus
import Glibc
import Synchronization
import Testing

@Suite struct StackSizeTests {
  @Test(arguments: [
    (Int.min, 14), (0, 14), (1, 14), (16384, 14), (16385, 15), (65536, 16), (262_144, 18), (262_145, 19),
    (1 << 30, 30), (1 << 30 + 1, 30), (Int.max, 30),
  ])
  func isTheNextPowerOfTwoWithinTheLimits(bytes: Int, order: Int) {
    #expect(StackSize.order(of: bytes) == UInt8(order))
    #expect(StackSize.orders.contains(UInt8(order)))
  }

  @Test func theLimitsAreOrders() {
    #expect(StackSize.order(of: StackSize.minimum) == StackSize.orders.lowerBound)
    #expect(StackSize.order(of: StackSize.maximum) == StackSize.orders.upperBound)
    #expect(StackSize.standard == 262_144)
  }
}

@Suite struct StackTests {
  private struct Bounds: Hashable {
    var lo: UInt
    var hi: UInt

    static var current: Bounds {
      let head = currentM().currentG.pointee.head
      return Bounds(lo: head.stack_lo, hi: head.stack_hi)
    }

    /// How many pages between `lo` and `hi - above` have memory.
    func residentPages(above: UInt = 0) -> Int {
      let pages = Int(hi - above - lo) / 4096
      return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: pages) { map in
        precondition(mincore(UnsafeMutableRawPointer(bitPattern: lo), pages * 4096, map.baseAddress) == 0)
        return map.count { $0 & 1 != 0 }
      }
    }
  }

  private final class Log: Sendable {
    private let entries = Mutex<[Bounds]>([])

    func add(_ bounds: Bounds) { entries.withLock { $0.append(bounds) } }
    var all: [Bounds] { entries.withLock { $0 } }
  }

  /// Writes to the stack down to about `bytes` below the caller's frame.
  @inline(never)
  private static func touch(_ bytes: Int) -> Int {
    var words = InlineArray<64, Int>(repeating: bytes)
    words[bytes & 63] &+= 1
    return bytes <= 0 ? words[0] : touch(bytes - 512) &+ words[(bytes >> 6) & 63]
  }

  /// The size that was asked for, and a guard between any two.
  @Test(arguments: [0, 14, 17] as [UInt8])
  func livingStacksAreApart(order: UInt8) {
    let (log, started, gate) = (Log(), SemaphoreBox(), SemaphoreBox())
    for _ in 0..<100 {
      startGoroutine(stackOrder: order) {
        log.add(.current)
        started.release()
        gate.acquire(.semaphore)
      }
    }
    for _ in 0..<100 { started.acquire(.semaphore) }
    for _ in 0..<100 { gate.release() }
    let stacks = log.all.sorted { $0.lo < $1.lo }
    let size = order == 0 ? sched.pointee.stackPools.defaultOrder : order
    #expect(stacks.count == 100)
    #expect(stacks.allSatisfy { $0.hi - $0.lo == 1 << UInt(size) && $0.hi % 4096 == 0 })
    #expect(zip(stacks, stacks.dropFirst()).allSatisfy { $0.hi + StackRegion.guardSize <= $1.lo })
  }

  /// Goroutines one after the other share a few stacks; no other test uses this order.
  @Test(arguments: [0, 21] as [UInt8])
  func stacksAreUsedAgain(order: UInt8) {
    let log = Log()
    for _ in 0..<1000 { onGoroutine(stackOrder: order) { log.add(.current) } }
    #expect(log.all.count == 1000)
    #expect(Set(log.all).count < 500)
  }

  /// A stack of an unusual size gives everything back when its goroutine ends; no other test uses this order.
  @Test func unusualStacksKeepNothing() {
    let log = Log()
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
      let stacks = Self.endDeep(count)
      func deep() -> Int { stacks.count { $0.residentPages(above: 8192) > 0 } }
      if goingOn { startGoroutine { while true { _ = Self.touch(100) } } }
      let end = Clock.nanotime() + 30_000_000_000
      while deep() > StackCache.capacity {
        precondition(Clock.nanotime() < end, "\(deep()) stacks keep their deep pages")
        usleep(1000)
      }
    }
  }

  /// The stacks of so many goroutines that were deep at the same time and have ended.
  private static func endDeep(_ count: Int) -> [Bounds] {
    let (log, started, gate, ended) = (Log(), SemaphoreBox(), SemaphoreBox(), SemaphoreBox())
    for _ in 0..<count {
      startGoroutine {
        _ = touch(150_000)
        log.add(.current)
        started.release()
        gate.acquire(.semaphore)
        ended.release()
      }
    }
    for _ in 0..<count { started.acquire(.semaphore) }
    precondition(log.all.allSatisfy { $0.residentPages(above: 8192) >= 30 }, "nothing was touched")
    for _ in 0..<count { gate.release() }
    for _ in 0..<count { ended.acquire(.semaphore) }
    // One more runs only after the last of them has ended.
    onGoroutine {}
    return log.all
  }

  /// Every byte of the guard faults, and the report names the limit.
  @Test(arguments: [1, 4096, 65536] as [UInt])
  func guardsFault(below: UInt) async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) { [below] in
      onGoroutine {
        // The lowest byte of the stack itself is memory.
        let lowest = UnsafeMutablePointer<UInt8>(bitPattern: Bounds.current.lo)!
        lowest.pointee = 1
        (lowest - Int(below)).pointee = 1
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("goroutine stack exceeds 262144-byte limit"), "\(words)")
  }
}
