import CApus
import Synchronization

/// The objects that `Root` holds: from the world of reference counting, and from other goroutines. Slots in slabs, which
/// are never freed; a free slot holds the next free one's address with the lowest bit set, which no object's address has.
///
/// The collector reads the slots while they change: each is one word. A root made while it marks shades its object, so it
/// does not matter whether its slot was read before.
public struct RootTable: ~Copyable {
  let lock = RuntimeLock(.roots)
  // Under lock.
  private var free: UInt = 0
  private var arena = PersistentArena()
  let count = Atomic<Int>(0)
  /// The newest slab; the others by their first word. Pushed with release.
  private let slabs = Atomic<UnsafeMutablePointer<UInt>?>(nil)

  /// Words of a slab: the link, and the slots.
  private static var slabWords: Int { 512 }
  static var slabBytes: Int { 8 * slabWords }

  init() {}

  private static var table: UnsafeMutablePointer<RootTable> { withUnsafeMutablePointer(to: &heap.pointee.roots) { $0 } }

  /// A slot that holds the object at `address`.
  public static func add(_ address: UInt) -> UnsafeMutablePointer<UInt> {
    let m = currentM()
    table.pointee.lock.lock(m)
    if table.pointee.free == 0 { table.pointee.addSlab() }
    let slot = UnsafeMutablePointer<UInt>(bitPattern: table.pointee.free & ~1).unsafelyUnwrapped
    table.pointee.free = slot.pointee == 1 ? 0 : slot.pointee
    apus_store_word(slot, address)
    Barrier.shadeInSection(address, on: m)
    table.pointee.count.wrappingAdd(1, ordering: .relaxed)
    table.pointee.lock.unlock(m)
    return slot
  }

  /// Gives the slot back.
  public static func remove(_ slot: UnsafeMutablePointer<UInt>) {
    let m = currentM()
    table.pointee.lock.lock(m)
    apus_store_word(slot, table.pointee.free == 0 ? 1 : table.pointee.free)
    table.pointee.free = UInt(bitPattern: slot) | 1
    table.pointee.count.wrappingSubtract(1, ordering: .relaxed)
    table.pointee.lock.unlock(m)
  }

  private mutating func addSlab() {
    let words = Self.slabWords
    let slab = arena.allocate(bytes: 8 * words).bindMemory(to: UInt.self, capacity: words)
    slab[0] = UInt(bitPattern: slabs.load(ordering: .relaxed))
    // The lowest on top. Not `reversed()`, which allocates in a debug build.
    var index = words
    while index > 1 {
      index -= 1
      slab[index] = free == 0 ? 1 : free
      free = UInt(bitPattern: slab + index) | 1
    }
    slabs.store(slab, ordering: .releasing)
  }

  /// The slabs now; newer ones hold only what is shaded.
  static func newestSlab() -> UnsafeMutablePointer<UInt>? { table.pointee.slabs.load(ordering: .acquiring) }

  /// The slab that is older than `slab`.
  static func next(_ slab: UnsafeMutablePointer<UInt>) -> UnsafeMutablePointer<UInt>? {
    UnsafeMutablePointer(bitPattern: slab[0])
  }

  /// Marks what the slab holds.
  static func mark(_ slab: UnsafeMutablePointer<UInt>, with marker: inout Marker) {
    for index in 1..<slabWords {
      let address = apus_load_word(slab + index)
      if address != 0 && address & 1 == 0 { marker.mark(address) }
    }
  }
}
