@testable import ApusRuntime
import CApus
import Glibc
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
  /// The size that was asked for, and a guard between any two.
  @Test(arguments: [0, 14, 17] as [UInt8])
  func livingStacksAreApart(order: UInt8) {
    let (log, started, gate) = (BoundsLog(), SemaphoreBox(), SemaphoreBox())
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
    let log = BoundsLog()
    for _ in 0..<1000 { onGoroutine(stackOrder: order) { log.add(.current) } }
    #expect(log.all.count == 1000)
    #expect(Set(log.all).count < 500)
  }

  /// Every byte of the guard faults, and the report names the limit.
  @Test(arguments: [1, 4096, 65536] as [UInt])
  func guardsFault(below: UInt) async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) { [below] in
      onGoroutine {
        // The lowest byte of the stack itself is memory.
        let lowest = UnsafeMutablePointer<UInt8>(bitPattern: StackBounds.current.lo)!
        lowest.pointee = 1
        (lowest - Int(below)).pointee = 1
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("goroutine stack exceeds 262144-byte limit"), "\(words)")
  }
}
