import CApus

/// A P's own stacks of the default size, without a lock.
struct StackCache {
  static var capacity: Int { 64 }

  let order: UInt8
  private(set) var count = 0
  private let tops: UnsafeMutablePointer<UInt>

  init(order: UInt8) {
    self.init(
      order: order,
      in: PersistentMemory.map(bytes: 8 * Self.capacity).bindMemory(to: UInt.self, capacity: Self.capacity))
  }

  /// `room`: for `capacity` words.
  init(order: UInt8, in room: UnsafeMutablePointer<UInt>) {
    self.order = order
    tops = room
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

  /// Gives what is too much for all of them, which are `warmth`, back to the kernel, in one system call. A stack that never
  /// went deep has no deep pages: that costs a walk over empty page-table entries. What the program has locked in memory
  /// stays.
  func release(_ warmth: StackWarmth) {
    withUnsafeTemporaryAllocation(of: UInt.self, capacity: 2 * Self.capacity) { ranges in
      var bytes: UInt = 0
      for i in 0..<count {
        let surplus = warmth.surplus(of: Stack(hi: tops[i], order: order))
        ranges[2 * i] = surplus.start
        ranges[2 * i + 1] = surplus.size
        bytes += surplus.size
      }
      if apus_process_madvise(ranges.baseAddress, count, APUS_MADV_DONTNEED) == Int64(bytes) { return }
      for i in 0..<count {
        _ = apus_madvise(
          UnsafeMutableRawPointer(bitPattern: ranges[2 * i]), Int(ranges[2 * i + 1]), APUS_MADV_DONTNEED)
      }
    }
  }
}
