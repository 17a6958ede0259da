import CApus

/// The address space for stacks of one order: one reservation cut into slots of guard and stack, used from its start.
///
/// Nothing is mapped per stack, so the number of goroutines is not bounded by the kernel's limit of mappings: the guard
/// is a mark in the page table (MADV_GUARD_INSTALL, Linux 6.13), which splits no mapping and survives DONTNEED. Older
/// kernels get guards by mprotect, two mappings a stack; there the limit is `vm.max_map_count`, and meeting it is a clear
/// fatal error.
struct StackRegion {
  static var guardSize: UInt { UInt(APUS_STACK_GUARD) }
  /// Slots are prepared in batches, a few system calls each.
  private static var batch: Int { 64 }
  /// The most address space that one reservation takes.
  private static var reservation: Int { 1 << 40 }

  let order: UInt8
  private(set) var base: UInt = 0
  /// How many slots the reservation has, and how many of them were claimed.
  private(set) var capacity = 0
  private var claimed = 0

  init(order: UInt8) {
    self.order = order
  }

  var slotSize: Int { (1 << Int(order)) + Int(Self.guardSize) }

  /// The stack in slot `index`.
  func stack(at index: Int) -> Stack {
    Stack(hi: base + UInt((index + 1) * slotSize), order: order)
  }

  /// Takes the next slots for `prepare`; the range of their indices. Empty when the reservation is used up. Under the
  /// pools' lock.
  mutating func claim() -> Range<Int> {
    if base == 0 { reserve() }
    let count = min(max(1, min(Self.batch, (64 << 20) >> Int(order))), capacity - claimed)
    defer { claimed += count }
    return claimed..<(claimed + count)
  }

  /// Makes claimed slots usable and guards them. Without the lock, since it takes about a microsecond a slot and nobody
  /// else knows of them yet.
  func prepare(_ slots: Range<Int>) {
    let start = base + UInt(slots.lowerBound * slotSize)
    guard apus_mprotect_rw(UnsafeMutableRawPointer(bitPattern: start), slots.count * slotSize) == 0 else {
      FatalReport.fatalError("runtime: cannot map goroutine stacks: out of memory")
    }
    installGuards(from: start, count: slots.count)
  }

  private mutating func reserve() {
    var size = Self.reservation
    while true {
      let slots = min(size / slotSize, Int(UInt32.max))
      if slots > 0, let address = apus_mmap_reserve(slots * slotSize) {
        base = UInt(bitPattern: address)
        capacity = slots
        // One touched page a goroutine is the point; a huge page would be 512 of them.
        _ = apus_madvise(address, slots * slotSize, APUS_MADV_NOHUGEPAGE)
        if Shelver.isOn { shelve() }
        return
      }
      // RLIMIT_AS, or another tenant of the address space: take less.
      size /= 2
      if size < slotSize { FatalReport.fatalError("runtime: cannot reserve address space for goroutine stacks") }
    }
  }

  /// Has its stacks kept elsewhere when it is time to. If it fails, they stay where they are. Under the pools' lock.
  func shelve() {
    if base != 0 { _ = apus_shelf_add_region(base, UInt(slotSize), UInt(capacity)) }
  }

  private func installGuards(from start: UInt, count: Int) {
    let done = withUnsafeTemporaryAllocation(of: UInt.self, capacity: 2 * Self.batch) { ranges in
      for i in 0..<count {
        ranges[2 * i] = start + UInt(i * slotSize)
        ranges[2 * i + 1] = Self.guardSize
      }
      let bytes = apus_process_madvise(ranges.baseAddress, count, APUS_MADV_GUARD_INSTALL)
      return bytes == Int64(count) * Int64(Self.guardSize)
    }
    if done { return }
    for i in 0..<count {
      let address = UnsafeMutableRawPointer(bitPattern: start + UInt(i * slotSize))
      if apus_madvise(address, Int(Self.guardSize), APUS_MADV_GUARD_INSTALL) == 0 { continue }
      guard apus_mprotect_none(address, Int(Self.guardSize)) == 0 else {
        FatalReport.fatalError("runtime: cannot guard a goroutine stack: raise vm.max_map_count, or use Linux 6.13")
      }
    }
  }
}
