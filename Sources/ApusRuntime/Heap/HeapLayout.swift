import Synchronization

/// A type at one size of slot, and the blocks of such slots (Go's `mcentral`): what is looked at for each object that is
/// marked, and where the caches of the Ps get blocks from. Never freed.
public typealias HeapLayoutRef = UnsafeMutablePointer<HeapLayout>

public struct HeapLayout: ~Copyable {
  // Constant. The collector reads these for each object.
  /// Bytes of a slot; 0 for large objects.
  let slotSize: UInt
  /// For an array: where its elements begin, and their distance. 0 for everything else.
  let elements: UInt
  let stride: UInt
  let links: UnsafePointer<HeapLinkPlace>
  let linkCount: Int
  /// The links as a bit for each four bytes, the highest for the first; 0 for arrays, large objects, and where a link lies
  /// behind the first 128. The lowest bit that is set, the last link, is found quicker than the highest on many processors.
  let linkMask: UInt32
  let type: HeapTypeRef
  /// The first bit of each slot, for the bitmaps of a block.
  let slotMask: UnsafePointer<UInt64>
  /// Slots in a block.
  let slotCount: UInt32
  let isNoScan: Bool
  let needsCleanup: Bool
  let next: HeapLayoutRef?

  let lock = RuntimeLock(.central)
  // Under lock. A block in none of these lists is in a P's cache, is being swept, or is in the cleanup's list.
  /// To be swept before it is used.
  var unswept = BlockList()
  /// Swept, with free slots.
  var partial = BlockList()
  /// Swept, without.
  var full = BlockList()

  init(_ type: HeapTypeRef, slotSize: UInt, slotMask: UnsafeMutablePointer<UInt64>, next: HeapLayoutRef?) {
    self.type = type
    self.slotSize = slotSize
    self.next = next
    elements = type.pointee.elements
    stride = type.pointee.size
    links = type.pointee.links
    linkCount = type.pointee.linkCount
    isNoScan = linkCount == 0
    linkMask = slotSize == 0 || elements != 0 ? 0 : Self.mask(of: links, linkCount)
    // Not `!= nil`: in a debug build that is a generic function, for which the closure is wrapped in another, and a section
    // must not allocate.
    needsCleanup = if case .some = type.pointee.destroy { true } else { false }
    slotCount = slotSize == 0 ? 1 : UInt32(UInt(HeapGeometry.blockSize) / slotSize)
    if slotSize == 0 {
      slotMask[0] = 1
    } else {
      for slot in 0..<Int(slotCount) {
        let bit = slot * Int(slotSize) >> HeapGeometry.granuleShift
        slotMask[bit / 64] |= 1 << UInt64(bit % 64)
      }
    }
    self.slotMask = UnsafePointer(slotMask)
  }

  private static func mask(of links: UnsafePointer<HeapLinkPlace>, _ count: Int) -> UInt32 {
    var mask: UInt32 = 0
    for index in 0..<count {
      let place = links[index].offset / 4
      if place >= 32 { return 0 }
      mask |= 1 << (31 - place)
    }
    return mask
  }
}

extension UnsafeMutablePointer where Pointee == HeapLayout {
  /// Prepares the record of a block that was just taken from the page heap.
  func adopt(_ index: Int, blocks count: Int, bytes: UInt) {
    let block = heap.pointee.arena.block(at: index)
    let isLarge = pointee.slotSize == 0
    block.pointee.layout = self
    block.pointee.isNoScan = pointee.isNoScan
    block.pointee.needsCleanup = pointee.needsCleanup
    block.pointee.isInCleanup = false
    block.pointee.slotSize = isLarge ? bytes : pointee.slotSize
    block.pointee.reciprocal =
      isLarge ? 0 : UInt32(((1 << 32) + UInt64(pointee.slotSize) - 1) / UInt64(pointee.slotSize))
    block.pointee.linkMask = pointee.linkMask
    block.pointee.usable = isLarge ? 0 : pointee.slotCount * UInt32(pointee.slotSize)
    block.pointee.freeSlots = pointee.slotCount
    block.pointee.position = 0
    block.pointee.blockCount = UInt32(count)
    block.pointee.head = UInt32(index)
    block.pointee.weak.store(0, ordering: .relaxed)
    block.pointee.weakGeneration = heap.pointee.sweeper.generation.load(ordering: .relaxed)
    block.pointee.sweepGeneration.store(heap.pointee.sweeper.generation.load(ordering: .relaxed), ordering: .relaxed)
    for tail in (index + 1)..<(index + count) {
      let record = heap.pointee.arena.block(at: tail)
      record.pointee.head = UInt32(index)
      record.pointee.isNoScan = pointee.isNoScan
      record.pointee.linkMask = 0
      record.pointee.state = .tail
    }
    // Last: whoever meets an address in the block by chance looks at the state first.
    block.pointee.state = isLarge ? .large : .slots
  }
}
