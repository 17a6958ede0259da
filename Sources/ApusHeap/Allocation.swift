public import ApusRuntime
import CApus

/// Where objects are made.
@usableFromInline
enum Allocation {
  /// What is larger gets blocks of its own.
  @inlinable @inline(__always) static var largestSlot: Int { 10_912 }

  /// Bytes of the slot of a value: at least 8, so that each has a mark of its own.
  @inlinable
  @inline(__always)
  static func slotSize<Object>(of type: Object.Type) -> Int {
    let alignment = max(8, MemoryLayout<Object>.alignment)
    return max(8, (MemoryLayout<Object>.size + alignment - 1) & ~(alignment - 1))
  }

  /// The address of a new object. While there is a slot in the P's cache this is some ten instructions: the object is
  /// initialised inside the section, so that the collector never sees one that is not.
  @inlinable
  @inline(__always)
  static func make<Object>(_ value: consuming Object) -> UnsafeMutableRawPointer {
    let key = TypeKey.of(Object.self)
    let size = slotSize(of: Object.self)
    if size <= largestSlot {
      let m = acquireM()
      if let p = m.pointee.p {
        let entry = p.pointee.heap.entries + HeapCache.index(key)
        let address = entry.pointee.cursor
        if entry.pointee.key == key && address != entry.pointee.limit {
          entry.pointee.cursor = address &+ UInt(bitPattern: size)
          let object = UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped
          object.initializeMemory(as: Object.self, to: value)
          releaseM(m)
          return object
        }
      }
      releaseM(m)
    }
    let (m, object) = slot(for: value, key)
    object.initializeMemory(as: Object.self, to: value)
    releaseM(m)
    return object
  }

  /// A slot from elsewhere, inside a section that the caller ends.
  @usableFromInline
  @inline(never)
  static func slot<Object>(for value: borrowing Object, _ key: UInt) -> (m: MRef, object: UnsafeMutableRawPointer) {
    let type = HeapTypes.find(key) ?? TypeDiscovery.type(Object.self)
    if type.pointee.existentials.count > 0 { TypeDiscovery.checkExistentials(of: copy value, type) }
    let size = slotSize(of: Object.self)
    let taken =
      size <= largestSlot
      ? HeapAllocator.slot(of: type, key: key, class: 0) : HeapAllocator.large(of: type, class: 0, bytes: size)
    return (taken.m, UnsafeMutableRawPointer(bitPattern: taken.address).unsafelyUnwrapped)
  }
}
