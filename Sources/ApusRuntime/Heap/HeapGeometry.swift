import CApus

/// The sizes that everything in the managed heap is a multiple of.
enum HeapGeometry {
  /// A block: what one type's objects, or a part of a large object, lie in.
  static var blockShift: Int { 15 }
  static var blockSize: Int { 1 << blockShift }
  /// What an object's size is rounded up to, what one bit of a bitmap and one mark stand for, and what links count.
  static var granuleShift: Int { granule.trailingZeroBitCount }
  static var granule: Int { Int(APUS_LINK_UNIT) }
  static var marksPerBlock: Int { blockSize >> granuleShift }
  /// The words of one bitmap that belong to a block.
  static var wordsPerBlock: Int { blockSize / granule / 64 }
  /// Address space is made usable by so many bytes at a time.
  static var growth: Int { 64 << 20 }
  /// The address space that is reserved, as far as links reach, and the least that is worth it where there is not so much.
  static var reservation: Int { granule << 32 }
  static var leastReservation: Int { 256 << 20 }
  /// The largest slot of which three fit into a block; what is larger gets blocks of its own.
  static var largestSlot: Int { 10_912 }
}
