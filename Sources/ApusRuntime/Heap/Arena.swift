import CApus

/// The address space of the managed heap: one reservation for the objects and everything that is found by an object's
/// address. All of it is inaccessible at first and costs no memory; `grow` makes more of it usable.
///
/// Two bits and a byte stand for each 8 bytes of the arena, in two bitmaps and a table; a slot's are those of its first 8.
///
/// - `allocated`: the slot is given out, or is part of a run that a cache hands out next. Written by whoever has the
///   block, read while the world stands still.
/// - `marks`: bytes; 1 when the collector has found the object. Set by a plain store: no two objects share a byte, so that
///   nothing but the same 1 can be lost.
/// - `dead`: the object was not found and waits for its destruction (`Cleanup`). Only for layouts that need it.
struct Arena {
  private(set) var base: UInt = 0
  /// Blocks in the reservation; 0 where the system gave no address space. A test of the arena's end lowers it.
  var blockLimit = 0
  /// Blocks that can be used: a multiple of `growth`. Under `PageHeap.lock`.
  private(set) var usableBlocks = 0
  private var blocks: UInt = 0
  private var allocated: UInt = 0
  private var marks: UInt = 0
  private var dead: UInt = 0
  /// A bit for each block: it is free; and it is free and has no memory. Used by the page heap.
  private(set) var freeMap: UInt = 0
  private(set) var releasedMap: UInt = 0

  /// Bytes of the tables for each block: its record, its share of two bitmaps and of the marks, and (rounded up) of two maps.
  static var tableBytesPerBlock: Int {
    MemoryLayout<Block>.stride + 2 * 8 * HeapGeometry.wordsPerBlock + HeapGeometry.marksPerBlock
  }

  /// Reserves the address space (the first half of Go's `mallocinit`); less of it where there is not enough.
  mutating func reserve() {
    var size = HeapGeometry.reservation
    while size >= HeapGeometry.leastReservation {
      let count = size / HeapGeometry.blockSize
      let maps = 2 * ((count / 8 + 4095) & ~4095)
      let total = maps + count * Self.tableBytesPerBlock + size + HeapGeometry.blockSize
      if let address = apus_mmap_reserve(total) {
        place(at: UInt(bitPattern: address), blocks: count, maps: maps)
        // The tables are sparse at first, and a huge page would be 512 pages of them.
        _ = apus_madvise(address, Int(base - UInt(bitPattern: address)), APUS_MADV_NOHUGEPAGE)
        return
      }
      size /= 2
    }
  }

  private mutating func place(at address: UInt, blocks count: Int, maps: Int) {
    let bitmap = UInt(count * 8 * HeapGeometry.wordsPerBlock)
    freeMap = address
    releasedMap = address + UInt(maps / 2)
    blocks = address + UInt(maps)
    allocated = blocks + UInt(count * MemoryLayout<Block>.stride)
    dead = allocated + bitmap
    marks = dead + bitmap
    let end = marks + UInt(count * HeapGeometry.marksPerBlock)
    base = (end + UInt(HeapGeometry.blockSize) - 1) & ~UInt(HeapGeometry.blockSize - 1)
    blockLimit = count
    apus_set_arena_base(base)
  }

  /// Makes the next `growth` bytes usable, and the tables for them; false when there are none or the system has no memory.
  mutating func grow() -> Bool {
    let more = min(HeapGeometry.growth / HeapGeometry.blockSize, blockLimit - usableBlocks)
    if more <= 0 { return false }
    let parts: [5 of (start: UInt, size: Int)] = [
      (base + UInt(usableBlocks * HeapGeometry.blockSize), more * HeapGeometry.blockSize),
      (blocks + UInt(usableBlocks * MemoryLayout<Block>.stride), more * MemoryLayout<Block>.stride),
      (allocated + bitmapOffset(usableBlocks), Int(bitmapOffset(more))),
      (dead + bitmapOffset(usableBlocks), Int(bitmapOffset(more))),
      (marks + UInt(usableBlocks * HeapGeometry.marksPerBlock), more * HeapGeometry.marksPerBlock),
    ]
    if usableBlocks == 0 {
      let maps = Int(blocks - freeMap)
      guard apus_mprotect_rw(UnsafeMutableRawPointer(bitPattern: freeMap), maps) == 0 else { return false }
    }
    for index in parts.indices {
      let part = parts[index]
      guard apus_mprotect_rw(UnsafeMutableRawPointer(bitPattern: part.start), part.size) == 0 else { return false }
    }
    usableBlocks += more
    return true
  }

  private func bitmapOffset(_ blocks: Int) -> UInt { UInt(blocks * 8 * HeapGeometry.wordsPerBlock) }

  @inline(__always)
  func address(ofBlock index: Int) -> UInt { base &+ UInt(bitPattern: index) << UInt(HeapGeometry.blockShift) }

  /// The number of the block that `address`, an address in the arena, lies in.
  @inline(__always)
  func index(of address: UInt) -> Int { Int(bitPattern: (address &- base) >> UInt(HeapGeometry.blockShift)) }

  @inline(__always)
  func block(at index: Int) -> BlockRef {
    BlockRef(bitPattern: blocks &+ UInt(bitPattern: index &* MemoryLayout<Block>.stride)).unsafelyUnwrapped
  }

  /// The words of a block in the bitmaps.
  @inline(__always)
  func allocatedWords(ofBlock index: Int) -> UnsafeMutablePointer<UInt64> { words(allocated, index) }
  @inline(__always)
  func deadWords(ofBlock index: Int) -> UnsafeMutablePointer<UInt64> { words(dead, index) }

  @inline(__always)
  private func words(_ map: UInt, _ index: Int) -> UnsafeMutablePointer<UInt64> {
    UnsafeMutablePointer(bitPattern: map &+ UInt(bitPattern: index &* (8 &* HeapGeometry.wordsPerBlock)))
      .unsafelyUnwrapped
  }

  /// The mark of the object at `address`.
  @inline(__always)
  func mark(of address: UInt) -> UnsafeMutablePointer<UInt8> {
    UnsafeMutablePointer(bitPattern: marks &+ (address &- base) >> UInt(HeapGeometry.granuleShift)).unsafelyUnwrapped
  }

  /// The marks of a block.
  @inline(__always)
  func marks(ofBlock index: Int) -> UnsafeMutablePointer<UInt8> {
    UnsafeMutablePointer(bitPattern: marks &+ UInt(bitPattern: index &* HeapGeometry.marksPerBlock)).unsafelyUnwrapped
  }

  /// The word with the bit of the object at `address`, and the bit.
  @inline(__always)
  func allocation(of address: UInt) -> (word: UnsafeMutablePointer<UInt64>, bit: UInt64) { bit(allocated, address) }
  @inline(__always)
  func death(of address: UInt) -> (word: UnsafeMutablePointer<UInt64>, bit: UInt64) { bit(dead, address) }

  @inline(__always)
  private func bit(_ map: UInt, _ address: UInt) -> (word: UnsafeMutablePointer<UInt64>, bit: UInt64) {
    let offset = address &- base
    let word = UnsafeMutablePointer<UInt64>(bitPattern: map &+ (offset >> 9) &* 8).unsafelyUnwrapped
    return (word, 1 << UInt64((offset >> UInt(HeapGeometry.granuleShift)) & 63))
  }
}
