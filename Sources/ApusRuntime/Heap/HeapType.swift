import CApus
import Synchronization

/// What the heap has to know of a Swift type whose values it holds. Found out once by `ApusHeap`; never freed.
public typealias HeapTypeRef = UnsafeMutablePointer<HeapType>

/// A link in a value: where it lies, and the type that it refers to.
public struct HeapLinkPlace {
  public let offset: UInt32
  /// `HeapType.key` of the type referred to.
  public let target: UInt

  public init(offset: UInt32, target: UInt) {
    self.offset = offset
    self.target = target
  }
}

public struct HeapType: ~Copyable {
  /// The address of the type's metadata.
  public let key: UInt
  /// The type's name, for reports.
  let name: UnsafePointer<CChar>
  /// Bytes of a slot for a value; for an array: from one element to the next.
  let size: UInt
  /// For an array: where its elements begin, behind their number in the first word. 0 for everything else.
  let elements: UInt
  let links: UnsafePointer<HeapLinkPlace>
  public let linkCount: Int
  /// Where existential containers lie in a value: what is in them is not known before there is a value.
  public let existentials: UnsafeBufferPointer<UInt32>
  /// Destroys so many values; nil where there is nothing to destroy.
  let destroy: ((UnsafeMutableRawPointer, Int) -> Void)?
  /// One layout for each size of slot: the only one, or an array's by the index of `SizeClasses`; and one for what is
  /// larger. Stored with release once, under `HeapTypes.lock`.
  let layouts: UnsafeMutablePointer<Atomic<HeapLayoutRef?>>

  var isArray: Bool { elements != 0 }
}

/// The sizes of arrays' slots: multiples of 16 with at most an eighth of waste (above 128 bytes).
public enum SizeClasses {
  /// How many there are; the next index stands for large objects.
  static var count: Int { 59 }
  /// The index for what is larger than any slot.
  public static var large: Int { count }

  /// The index of the smallest class that has `bytes`.
  public static func index(of bytes: UInt) -> Int {
    if bytes > UInt(HeapGeometry.largestSlot) { return large }
    if bytes <= 128 { return bytes <= 16 ? 0 : Int((bytes + 15) / 16) - 1 }
    // Eight classes in each doubling.
    let shift = UInt.bitWidth - (bytes - 1).leadingZeroBitCount - 4
    let eighth = Int((bytes - 1) >> UInt(shift)) - 8
    return min(8 + (shift - 4) * 8 + eighth, count - 1)
  }

  /// The size of the class at `index`.
  static func size(of index: Int) -> UInt {
    if index < 8 { return UInt(index + 1) * 16 }
    if index == count - 1 { return UInt(HeapGeometry.largestSlot) }
    let shift = (index - 8) / 8 + 4
    return UInt(8 + (index - 8) % 8 + 1) << UInt(shift)
  }
}

/// All types, found by the address of their metadata: an open hash table that only grows, read without a lock.
public struct HeapTypes: ~Copyable {
  let lock = RuntimeLock(.heapTypes)
  // Under lock.
  private var arena = PersistentArena()
  private var count = 0
  /// The newest layout; the others by `HeapLayout.next`. Pushed with release, never taken off.
  let layouts = Atomic<HeapLayoutRef?>(nil)
  /// The table. Replaced by a larger one with release; old ones stay, for whoever still reads them.
  private let table = Atomic<UnsafeMutablePointer<Table>?>(nil)

  private struct Table {
    var mask: Int
    var entries: UnsafeMutablePointer<Atomic<HeapTypeRef?>>
  }

  init() {}

  private static var types: UnsafeMutablePointer<HeapTypes> { withUnsafeMutablePointer(to: &heap.pointee.types) { $0 } }

  /// How many types there are.
  static var typeCount: Int { types.pointee.count }

  /// Makes the table (Go's `typelinksinit`).
  mutating func prepare() {
    makeRoom()
  }

  /// The type whose metadata is at `key`; nil when it was not registered. A few nanoseconds.
  public static func find(_ key: UInt) -> HeapTypeRef? {
    guard let table = types.pointee.table.load(ordering: .acquiring) else { return nil }
    return lookUp(key, in: table)
  }

  private static func lookUp(_ key: UInt, in table: UnsafeMutablePointer<Table>) -> HeapTypeRef? {
    var index = Int(bitPattern: key >> 4) & table.pointee.mask
    while let type = table.pointee.entries[index].load(ordering: .acquiring) {
      if type.pointee.key == key { return type }
      index = (index + 1) & table.pointee.mask
    }
    return nil
  }

  /// Registers a type; the record of whoever did it first. The arguments are `HeapType`'s fields; `links` is copied, `name`
  /// stays the runtime's.
  public static func register(
    key: UInt, name: UnsafePointer<CChar>, size: Int, elements: Int, links: [HeapLinkPlace], existentials: [UInt32],
    destroy: ((UnsafeMutableRawPointer, Int) -> Void)?
  ) -> HeapTypeRef {
    HeapService.startHelper()
    HeapService.enable()
    let m = currentM()
    types.pointee.lock.lock(m)
    defer { types.pointee.lock.unlock(m) }
    if let type = find(key) { return type }
    Collector.noteUse()
    return links.withUnsafeBufferPointer { links in
      existentials.withUnsafeBufferPointer { existentials in
        types.pointee.insert(
          key: key, name: name, size: UInt(size), elements: UInt(elements), links: links, existentials: existentials,
          destroy: destroy)
      }
    }
  }

  private mutating func insert(
    key: UInt, name: UnsafePointer<CChar>, size: UInt, elements: UInt, links: UnsafeBufferPointer<HeapLinkPlace>,
    existentials: UnsafeBufferPointer<UInt32>, destroy: ((UnsafeMutableRawPointer, Int) -> Void)?
  ) -> HeapTypeRef {
    let places = arena.allocate(bytes: max(1, links.count) * MemoryLayout<HeapLinkPlace>.stride)
      .bindMemory(to: HeapLinkPlace.self, capacity: max(1, links.count))
    for index in links.indices { (places + index).initialize(to: links[index]) }
    let offsets = arena.allocate(bytes: max(1, existentials.count) * 4)
      .bindMemory(to: UInt32.self, capacity: max(1, existentials.count))
    for index in existentials.indices { (offsets + index).initialize(to: existentials[index]) }
    let layoutCount = elements == 0 ? 1 : SizeClasses.count + 1
    let layouts = arena.allocate(bytes: layoutCount * MemoryLayout<Atomic<HeapLayoutRef?>>.stride)
      .bindMemory(to: Atomic<HeapLayoutRef?>.self, capacity: layoutCount)
    for index in 0..<layoutCount { (layouts + index).initialize(to: Atomic(nil)) }
    let type = arena.allocate(bytes: MemoryLayout<HeapType>.size).bindMemory(to: HeapType.self, capacity: 1)
    type.initialize(
      to: HeapType(
        key: key, name: name, size: size, elements: elements, links: UnsafePointer(places), linkCount: links.count,
        existentials: UnsafeBufferPointer(start: offsets, count: existentials.count), destroy: destroy,
        layouts: layouts))
    makeRoom()
    Self.put(type, into: table.load(ordering: .relaxed).unsafelyUnwrapped)
    count += 1
    return type
  }

  /// The table is never more than half full.
  private mutating func makeRoom() {
    let old = table.load(ordering: .relaxed)
    if let old, 2 * (count + 1) <= old.pointee.mask + 1 { return }
    let size = old.map { 2 * ($0.pointee.mask + 1) } ?? 64
    let entries = PersistentMemory.map(bytes: size * MemoryLayout<Atomic<HeapTypeRef?>>.stride)
      .bindMemory(to: Atomic<HeapTypeRef?>.self, capacity: size)
    let new = arena.allocate(bytes: MemoryLayout<Table>.size).bindMemory(to: Table.self, capacity: 1)
    new.initialize(to: Table(mask: size - 1, entries: entries))
    if let old {
      for index in 0...old.pointee.mask {
        if let type = old.pointee.entries[index].load(ordering: .relaxed) { Self.put(type, into: new) }
      }
    }
    table.store(new, ordering: .releasing)
  }

  private static func put(_ type: HeapTypeRef, into table: UnsafeMutablePointer<Table>) {
    var index = Int(bitPattern: type.pointee.key >> 4) & table.pointee.mask
    while table.pointee.entries[index].load(ordering: .relaxed) != nil { index = (index + 1) & table.pointee.mask }
    table.pointee.entries[index].store(type, ordering: .releasing)
  }

  /// The layout of `type` for the size class `index` (0 for what is no array).
  static func layout(of type: HeapTypeRef, class index: Int, on m: MRef) -> HeapLayoutRef {
    if let layout = type.pointee.layouts[index].load(ordering: .acquiring) { return layout }
    types.pointee.lock.lock(m)
    defer { types.pointee.lock.unlock(m) }
    if let layout = type.pointee.layouts[index].load(ordering: .relaxed) { return layout }
    return types.pointee.makeLayout(of: type, class: index)
  }

  private mutating func makeLayout(of type: HeapTypeRef, class index: Int) -> HeapLayoutRef {
    var slot = type.pointee.size
    if type.pointee.isArray {
      slot = index == SizeClasses.large ? 0 : SizeClasses.size(of: index)
    } else if slot > UInt(HeapGeometry.largestSlot) {
      slot = 0
    }
    let words = HeapGeometry.wordsPerBlock
    let mask = arena.allocate(bytes: 8 * words).bindMemory(to: UInt64.self, capacity: words)
    let layout = arena.allocate(bytes: MemoryLayout<HeapLayout>.size).bindMemory(to: HeapLayout.self, capacity: 1)
    layout.initialize(to: HeapLayout(type, slotSize: slot, slotMask: mask, next: layouts.load(ordering: .relaxed)))
    layouts.store(layout, ordering: .releasing)
    type.pointee.layouts[index].store(layout, ordering: .releasing)
    return layout
  }
}
