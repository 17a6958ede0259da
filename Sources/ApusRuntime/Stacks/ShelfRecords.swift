import CApus

/// The memory of the records of stacks that are kept elsewhere: one reservation, used from its start, in pieces of a
/// multiple of 64 bytes. The shelver alone takes and frees them; whoever brings a stack back leaves its record in a list
/// without a lock.
struct ShelfRecords: ~Copyable {
  private static var granule: Int { 64 }
  /// The most that the records take: 40 million stacks at the average.
  private static var reservation: Int { 16 << 30 }
  private static var kinds: Int { (Int(APUS_SHELF_LIMIT) + MemoryLayout<apus_shelf_record>.size) / granule + 1 }

  private var base: UInt = 0
  private var next: UInt = 0
  private var end: UInt = 0
  /// Free records, by how many granules they have.
  private var free: UnsafeMutablePointer<UnsafeMutablePointer<apus_shelf_record>?>?
  private var used = 0

  /// Takes the reservation; false when there is no address space for it.
  mutating func reserve() -> Bool {
    guard let address = apus_mmap(Self.reservation) else { return false }
    base = UInt(bitPattern: address)
    next = base
    end = base + UInt(Self.reservation)
    free = PersistentMemory.map(bytes: 8 * Self.kinds)
      .bindMemory(to: UnsafeMutablePointer<apus_shelf_record>?.self, capacity: Self.kinds)
    return true
  }

  private static func kind(_ bytes: Int) -> Int { (MemoryLayout<apus_shelf_record>.size + bytes - 1) / granule }

  /// A record for what lies from `sp` to `top`; nil when all memory is used.
  mutating func take(from sp: UInt, to top: UInt) -> UnsafeMutablePointer<apus_shelf_record>? {
    let kind = Self.kind(Int(top - sp))
    let record: UnsafeMutablePointer<apus_shelf_record>
    if let found = free.unsafelyUnwrapped[kind] {
      free.unsafelyUnwrapped[kind] = found.pointee.next
      record = found
    } else {
      let size = UInt((kind + 1) * Self.granule)
      guard size <= end - next, let new = UnsafeMutablePointer<apus_shelf_record>(bitPattern: next) else { return nil }
      next += size
      record = new
    }
    used += 1
    record.initialize(to: apus_shelf_record(next: nil, sp: sp, size: UInt64(top - sp)))
    return record
  }

  mutating func putBack(_ record: UnsafeMutablePointer<apus_shelf_record>) {
    let kind = Self.kind(Int(record.pointee.size))
    record.pointee.next = free.unsafelyUnwrapped[kind]
    free.unsafelyUnwrapped[kind] = record
    used -= 1
  }

  /// Frees the records of all stacks that were brought back. When none is left, the memory goes back to the kernel.
  mutating func collect() {
    var record = apus_shelf_take_records()
    while let current = record {
      record = current.pointee.next
      putBack(current)
    }
    if used > 0 || next == base { return }
    _ = apus_madvise(UnsafeMutableRawPointer(bitPattern: base), Int(next - base), APUS_MADV_DONTNEED)
    next = base
    for kind in 0..<Self.kinds { free.unsafelyUnwrapped[kind] = nil }
  }
}
