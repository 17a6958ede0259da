import Apus
import CApus
import Glibc

import struct Synchronization.Atomic

/// Goroutines that wait at a gate with values on their stacks.
final class Sleepers: @unchecked Sendable {
  // Unchecked: each goroutine writes its own place of `values` before it is counted.
  let gate = Channel<Void>()
  let group = WaitGroup()
  let arrived = Atomic<Int>(0)
  let wrong = Atomic<Int>(0)
  let values: UnsafeMutablePointer<UnsafeMutablePointer<Int>?>
  let count: Int

  /// How many values each has.
  static let each = 8

  init(_ count: Int) {
    self.count = count
    values = .allocate(capacity: count)
    values.initialize(repeating: nil, count: count)
  }

  /// The value that goroutine `index` has at `place` at first.
  static func value(_ index: Int, _ place: Int) -> Int { index &* 0x9e37_79b9 &+ place &* 77 }

  /// Starts all. When the gate opens each checks that its values have become what `change` makes of them.
  /// They have up to seven times `step` bytes more in use than others, and stacks of several sizes, where that is asked for.
  func start(
    deepening step: Int = 0, sizes: [Int] = [1 << 18], _ change: @escaping @Sendable (Int) -> Int = { $0 }
  ) {
    group.add(count)
    for index in 0..<count {
      go(stackSize: sizes[index % sizes.count]) { [self] in
        defer { group.done() }
        withUnsafeTemporaryAllocation(byteCount: 1 + (count - index) % 8 * step, alignment: 1) { room in
          room.initializeMemory(as: UInt8.self, repeating: 0xff)
          sleep(index, change)
        }
      }
    }
    while arrived.load(ordering: .relaxed) < count { Goroutine.yield() }
  }

  @inline(never)
  private func sleep(_ index: Int, _ change: (Int) -> Int) {
    withUnsafeTemporaryAllocation(of: Int.self, capacity: Self.each) { own in
      for place in 0..<Self.each { own[place] = Self.value(index, place) }
      values[index] = own.baseAddress
      arrived.wrappingAdd(1, ordering: .releasing)
      _ = gate.receive()
      for place in 0..<Self.each where own[place] != change(Self.value(index, place)) {
        wrong.wrappingAdd(1, ordering: .relaxed)
        break
      }
    }
  }

  /// How many values are not what they were at first, seen from outside.
  func countWrong() -> Int {
    (0..<count).reduce(0) { sum, index in
      sum + (0..<Self.each).count { values[index]![$0] != Self.value(index, $0) }
    }
  }

  /// Opens the gate, and tells how many found their values changed.
  func wake() -> Int {
    gate.close()
    group.wait()
    return wrong.load(ordering: .relaxed)
  }
}

/// How many stacks are kept elsewhere now.
var shelved: Int { Int(apus_shelf_taken()) - Int(apus_shelf_restored()) }

/// Waits until so many are.
func awaitShelved(_ count: Int) {
  while shelved < count { Goroutine.sleep(for: .milliseconds(1)) }
}
