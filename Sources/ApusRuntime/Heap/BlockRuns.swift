import CApus

/// The free slots of a block, as runs of neighbours. The caller has the block.
///
/// A run is taken whole: its slots count as allocated from then on, and while the collector marks they are marked at once,
/// so that allocation itself writes no bitmap. What is left of the run when the cache lets it go is given back.
enum BlockRuns {
  /// The next run of free slots in the block at `index`; nil when there is none.
  static func take(_ index: Int) -> (start: UInt, end: UInt)? {
    let block = heap.pointee.arena.block(at: index)
    if block.pointee.freeSlots == 0 { return nil }
    let layout = block.pointee.layout.unsafelyUnwrapped
    let allocated = heap.pointee.arena.allocatedWords(ofBlock: index)
    let mask = layout.pointee.slotMask
    let last = Int(block.pointee.usable) >> HeapGeometry.granuleShift
    // The first bit at or behind the position that is a slot's and free.
    var word = Int(block.pointee.position) / 64
    var bits: UInt64 = 0
    let from = ~UInt64(0) << UInt64(block.pointee.position % 64)
    while word < HeapGeometry.wordsPerBlock {
      bits = mask[word] & ~allocated[word]
      if word == Int(block.pointee.position) / 64 { bits &= from }
      if bits != 0 { break }
      word += 1
    }
    if word == HeapGeometry.wordsPerBlock { return nil }
    let first = word * 64 + bits.trailingZeroBitCount
    // The first bit behind it that is an allocated slot's.
    var end = last
    bits = allocated[word] & (~0 << UInt64(first % 64))
    while true {
      if bits != 0 {
        end = word * 64 + bits.trailingZeroBitCount
        break
      }
      word += 1
      if word * 64 >= last { break }
      bits = allocated[word]
    }
    let count = setAllocated(first, end, in: index, mask)
    block.pointee.position = UInt32(end)
    block.pointee.freeSlots -= UInt32(count)
    // The objects to come are black: they have no links yet, and what is stored in them is shaded.
    if apus_is_marking() != 0 { setMarks(of: first, end, in: index, to: 1) }
    let base = heap.pointee.arena.address(ofBlock: index)
    return (base + UInt(first) << 3, base + UInt(end) << 3)
  }

  /// The slots from `start` to `end` were not used after all.
  static func giveBack(from start: UInt, to end: UInt, in index: Int) {
    let block = heap.pointee.arena.block(at: index)
    let base = heap.pointee.arena.address(ofBlock: index)
    let mask = block.pointee.layout.unsafelyUnwrapped.pointee.slotMask
    let allocated = heap.pointee.arena.allocatedWords(ofBlock: index)
    let first = Int(start - base) >> HeapGeometry.granuleShift
    let last = Int(end - base) >> HeapGeometry.granuleShift
    var count = 0
    eachWord(first, last) { word, range in
      let bits = mask[word] & range
      count += bits.nonzeroBitCount
      allocated[word] &= ~bits
    }
    setMarks(of: first, last, in: index, to: 0)
    block.pointee.freeSlots += UInt32(count)
    block.pointee.position = UInt32(first)
  }

  private static func setAllocated(_ first: Int, _ end: Int, in index: Int, _ mask: UnsafePointer<UInt64>) -> Int {
    let allocated = heap.pointee.arena.allocatedWords(ofBlock: index)
    var count = 0
    eachWord(first, end) { word, range in
      let bits = mask[word] & range
      count += bits.nonzeroBitCount
      allocated[word] |= bits
    }
    return count
  }

  /// Also those of places where no slot begins: they mean nothing.
  private static func setMarks(of first: Int, _ end: Int, in index: Int, to value: UInt8) {
    let marks = heap.pointee.arena.marks(ofBlock: index)
    apus_marks_fill(marks + first, end - first, value)
  }

  /// The words with the bits from `first` up to `end`, and which bits of each these are.
  @inline(__always)
  private static func eachWord(_ first: Int, _ end: Int, _ body: (Int, UInt64) -> Void) {
    var position = first
    while position < end {
      let word = position / 64
      let last = min(end, (word + 1) * 64)
      let end: UInt64 = last % 64 == 0 ? ~0 : ~(~0 << UInt64(last % 64))
      let range = (~0 << UInt64(position % 64)) & end
      body(word, range)
      position = last
    }
  }
}
