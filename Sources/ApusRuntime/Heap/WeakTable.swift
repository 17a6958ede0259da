import CApus
import Synchronization

/// Weak references to managed objects (Go's weak pointers). Each has a slot here, and the slots of one block's objects are
/// a list, so that whoever sweeps the block can clear those whose object was not found, before its slot is used again.
///
/// A reference may be followed before the block was swept: then the object's mark tells. It must not be read while the
/// sweeper clears it; hence `Block.weakGeneration`. It is set under the lock when the block's references were looked at:
/// from then on, those that are left refer to objects that live; before, all marks are still there.
public struct WeakTable: ~Copyable {
  let lock = RuntimeLock(.weak)
  // Under lock.
  private var slots: UnsafeMutablePointer<Slot>?
  private var capacity: UInt32 = 0
  private var used: UInt32 = 0
  private var free: UInt32 = 0

  /// Numbers of slots count from 1; 0 is none.
  private struct Slot {
    /// The object; 0 when it is gone.
    var address: UInt = 0
    /// The next slot of the block, or of the free list.
    var next: UInt32 = 0
  }

  init() {}

  private static var table: UnsafeMutablePointer<WeakTable> { withUnsafeMutablePointer(to: &heap.pointee.weak) { $0 } }

  /// A weak reference to the object at `address`, which the caller holds; its number.
  public static func add(_ address: UInt) -> UInt32 {
    let m = currentM()
    table.pointee.lock.lock(m)
    defer { table.pointee.lock.unlock(m) }
    let number = table.pointee.takeSlot()
    let block = block(of: address)
    let first = block.pointee.weak.load(ordering: .relaxed)
    table.pointee.slots.unsafelyUnwrapped[Int(number)] = Slot(address: address, next: first)
    // A sweeper that reads an empty list in the meantime does not come here to say that it was looked at: whoever makes
    // the list says so. In either order of the two stores and the two loads, one sees the other.
    block.pointee.weak.store(number, ordering: .sequentiallyConsistent)
    let generation = heap.pointee.sweeper.generation.load(ordering: .relaxed)
    if first == 0 && block.pointee.sweepGeneration.load(ordering: .sequentiallyConsistent) &+ 1 >= generation {
      block.pointee.weakGeneration = generation
    }
    return number
  }

  /// The object that the weak reference refers to, which the caller then holds; nil when it is gone. Shades it while the
  /// collector marks, before it is the caller's.
  public static func get(_ number: UInt32) -> UInt? {
    let m = currentM()
    table.pointee.lock.lock(m)
    defer { table.pointee.lock.unlock(m) }
    let address = table.pointee.slots.unsafelyUnwrapped[Int(number)].address
    if address == 0 { return nil }
    if block(of: address).pointee.weakGeneration != heap.pointee.sweeper.generation.load(ordering: .relaxed) {
      let mark = heap.pointee.arena.mark(of: address)
      if apus_mark_load(mark) == 0 { return nil }
    }
    Barrier.shadeInSection(address, on: m)
    return address
  }

  /// Gives the weak reference back.
  public static func remove(_ number: UInt32) {
    let m = currentM()
    table.pointee.lock.lock(m)
    defer { table.pointee.lock.unlock(m) }
    let slots = table.pointee.slots.unsafelyUnwrapped
    let address = slots[Int(number)].address
    if address != 0 {
      let block = block(of: address)
      var before = block.pointee.weak.load(ordering: .relaxed)
      if before == number {
        block.pointee.weak.store(slots[Int(number)].next, ordering: .relaxed)
      } else {
        while slots[Int(before)].next != number { before = slots[Int(before)].next }
        slots[Int(before)].next = slots[Int(number)].next
      }
    }
    slots[Int(number)] = Slot(address: 0, next: table.pointee.free)
    table.pointee.free = number
  }

  /// Clears the references to objects of the block that the collector has not found. The caller sweeps the block, has
  /// stored that in `sweepGeneration`, and has not touched the marks.
  static func sweep(_ block: BlockRef, on m: MRef) {
    // An empty list: see `add`. Nobody reads the generation of a block without references.
    if block.pointee.weak.load(ordering: .sequentiallyConsistent) == 0 { return }
    table.pointee.lock.lock(m)
    let slots = table.pointee.slots.unsafelyUnwrapped
    var kept: UInt32 = 0
    var number = block.pointee.weak.load(ordering: .relaxed)
    while number != 0 {
      let next = slots[Int(number)].next
      let mark = heap.pointee.arena.mark(of: slots[Int(number)].address)
      if apus_mark_load(mark) != 0 {
        slots[Int(number)].next = kept
        kept = number
      } else {
        slots[Int(number)] = Slot()
      }
      number = next
    }
    block.pointee.weak.store(kept, ordering: .relaxed)
    block.pointee.weakGeneration = heap.pointee.sweeper.generation.load(ordering: .relaxed)
    table.pointee.lock.unlock(m)
  }

  private static func block(of address: UInt) -> BlockRef {
    let arena = heap.pointee.arena
    return arena.block(at: arena.index(of: address))
  }

  private mutating func takeSlot() -> UInt32 {
    if free != 0 {
      let number = free
      free = slots.unsafelyUnwrapped[Int(number)].next
      return number
    }
    if used + 1 >= capacity {
      let larger = max(256, capacity * 2)
      let new = PersistentMemory.map(bytes: Int(larger) * MemoryLayout<Slot>.stride)
        .bindMemory(to: Slot.self, capacity: Int(larger))
      if let slots {
        new.initialize(from: slots, count: Int(capacity))
        PersistentMemory.unmap(slots, bytes: Int(capacity) * MemoryLayout<Slot>.stride)
      }
      slots = new
      capacity = larger
    }
    used += 1
    return used
  }
}
