import CApus

/// A P's own stacks of the default size, without a lock.
struct StackCache {
  static var capacity: Int { 64 }
  /// What a stack keeps of its memory when it is cooled (`StackCooling`): its topmost pages, which every goroutine touches.
  private static var kept: UInt { 8192 }

  let order: UInt8
  private(set) var count = 0
  private let tops: UnsafeMutablePointer<UInt>

  init(order: UInt8) {
    self.order = order
    tops = PersistentMemory.map(bytes: 8 * Self.capacity).bindMemory(to: UInt.self, capacity: Self.capacity)
  }

  var isEmpty: Bool { count == 0 }
  var isFull: Bool { count == Self.capacity }

  @inline(__always)
  mutating func push(_ stack: Stack) {
    tops[count] = stack.hi
    count += 1
  }

  @inline(__always)
  mutating func pop() -> Stack? {
    if count == 0 { return nil }
    count -= 1
    return Stack(hi: tops[count], order: order)
  }

  /// Gives the deep pages of the stacks above `keeping` back to the kernel, in one system call. A stack that never went
  /// deep has none: that costs a walk over empty page-table entries.
  func trim(downTo keeping: Int) {
    let leaving = count - keeping
    if leaving <= 0 { return }
    let size = UInt(1) << UInt(order)
    withUnsafeTemporaryAllocation(of: UInt.self, capacity: 2 * Self.capacity) { ranges in
      for i in 0..<leaving {
        ranges[2 * i] = tops[keeping + i] - size
        ranges[2 * i + 1] = size - Self.kept
      }
      if apus_process_madvise(ranges.baseAddress, leaving, APUS_MADV_DONTNEED) >= 0 { return }
      for i in 0..<leaving {
        _ = apus_madvise(
          UnsafeMutableRawPointer(bitPattern: ranges[2 * i]), Int(ranges[2 * i + 1]), APUS_MADV_DONTNEED)
      }
    }
  }
}
