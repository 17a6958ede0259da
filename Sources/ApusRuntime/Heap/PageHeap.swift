import CApus
import Synchronization

/// Which blocks of the arena are free (Go's page allocator): first fit by address, so that what is used gathers at the
/// arena's beginning and its end can be given back.
///
/// A map has a bit for each block. Blocks from `frontier` on were never given out, and have no bit. Nor does the first
/// block, which is never given out at all: the collector's own functions leave the arena's address on stacks, where it
/// would be taken for a reference to the first object, and keep for ever what that links to.
struct PageHeap: ~Copyable {
  let lock = RuntimeLock(.pageHeap)
  // Under lock; the counts are read without it.
  private(set) var frontier = 0
  /// No word of the map below this one has a bit set.
  private var searchFrom = 0
  /// Free blocks below the frontier, and those of them that have no memory.
  let freeCount = Atomic<Int>(0)
  let releasedCount = Atomic<Int>(0)
  let frontierCount = Atomic<Int>(0)
  /// Pieces whose memory is being given back, which are in no map meanwhile; and how many have come back.
  let releasing = Atomic<Int>(0)
  let releases = Atomic<Int>(0)

  init() {}

  private static var pages: UnsafeMutablePointer<PageHeap> { withUnsafeMutablePointer(to: &heap.pointee.pages) { $0 } }

  /// The lowest block that is given out.
  private static var firstBlock: Int { 1 }

  /// The bytes of the arena that were ever given out: no object lies beyond.
  @inline(__always)
  static var frontier: UInt {
    UInt(pages.pointee.frontierCount.load(ordering: .relaxed)) << UInt(HeapGeometry.blockShift)
  }

  /// Blocks that are in use.
  static var usedBlocks: Int {
    max(pages.pointee.frontierCount.load(ordering: .relaxed) - firstBlock, 0)
      - pages.pointee.freeCount.load(ordering: .relaxed)
  }

  /// Blocks that may have memory: used ones, and free ones that were not given back.
  static var residentBlocks: Int {
    max(pages.pointee.frontierCount.load(ordering: .relaxed) - firstBlock, 0)
      - pages.pointee.releasedCount.load(ordering: .relaxed)
  }

  /// Whether a free block has memory.
  static var hasFreeMemory: Bool {
    pages.pointee.freeCount.load(ordering: .relaxed) > pages.pointee.releasedCount.load(ordering: .relaxed)
  }

  /// The first of `count` neighbouring free blocks, which are the caller's from now on; nil when there is no more address
  /// space, or no more memory.
  static func allocate(_ count: Int, on m: MRef) -> Int? {
    pages.pointee.lock.lock(m)
    defer { pages.pointee.lock.unlock(m) }
    return pages.pointee.take(count)
  }

  /// Whether there are `count` blocks in the arena that were never given out.
  static func hasArena(for count: Int, on m: MRef) -> Bool {
    pages.pointee.lock.lock(m)
    defer { pages.pointee.lock.unlock(m) }
    return max(pages.pointee.frontier, firstBlock) + count <= heap.pointee.arena.blockLimit
  }

  /// Gives `count` blocks back.
  static func free(_ index: Int, _ count: Int, on m: MRef) {
    pages.pointee.lock.lock(m)
    for block in index..<(index + count) { heap.pointee.arena.block(at: block).pointee.state = .free }
    pages.pointee.put(index, count, released: false)
    pages.pointee.lock.unlock(m)
  }

  private mutating func take(_ count: Int) -> Int? {
    if freeCount.load(ordering: .relaxed) >= count, let index = findFree(count) {
      setBits(freeMap, index, count, to: false)
      let released = countBits(releasedMap, index, count)
      if released > 0 {
        setBits(releasedMap, index, count, to: false)
        releasedCount.store(releasedCount.load(ordering: .relaxed) - released, ordering: .relaxed)
      }
      freeCount.store(freeCount.load(ordering: .relaxed) - count, ordering: .relaxed)
      if index / 64 == searchFrom {
        while searchFrom < frontier / 64 && freeMap[searchFrom] == 0 { searchFrom += 1 }
      }
      return index
    }
    let index = max(frontier, Self.firstBlock)
    while index + count > heap.pointee.arena.usableBlocks {
      if !heap.pointee.arena.grow() { return nil }
    }
    frontier = index + count
    frontierCount.store(frontier, ordering: .relaxed)
    return index
  }

  private mutating func put(_ index: Int, _ count: Int, released: Bool) {
    setBits(freeMap, index, count, to: true)
    freeCount.store(freeCount.load(ordering: .relaxed) + count, ordering: .relaxed)
    if released {
      setBits(releasedMap, index, count, to: true)
      releasedCount.store(releasedCount.load(ordering: .relaxed) + count, ordering: .relaxed)
    }
    searchFrom = min(searchFrom, index / 64)
  }

  // The maps.

  private var freeMap: UnsafeMutablePointer<UInt64> {
    UnsafeMutablePointer(bitPattern: heap.pointee.arena.freeMap).unsafelyUnwrapped
  }

  private var releasedMap: UnsafeMutablePointer<UInt64> {
    UnsafeMutablePointer(bitPattern: heap.pointee.arena.releasedMap).unsafelyUnwrapped
  }

  /// The lowest `count` neighbouring bits of the free map.
  private func findFree(_ count: Int) -> Int? {
    var run = 0
    for word in searchFrom..<((frontier + 63) / 64) {
      let bits = freeMap[word]
      if bits == 0 {
        run = 0
      } else if bits == ~0 {
        run += 64
        if run >= count { return (word + 1) * 64 - run }
      } else {
        for bit in 0..<64 {
          run = bits & (1 << UInt64(bit)) != 0 ? run + 1 : 0
          if run >= count { return word * 64 + bit + 1 - count }
        }
      }
    }
    return nil
  }

  private func setBits(_ map: UnsafeMutablePointer<UInt64>, _ index: Int, _ count: Int, to value: Bool) {
    Self.eachWord(index, count) { word, mask in
      if value { map[word] |= mask } else { map[word] &= ~mask }
    }
  }

  private func countBits(_ map: UnsafeMutablePointer<UInt64>, _ index: Int, _ count: Int) -> Int {
    var sum = 0
    Self.eachWord(index, count) { word, mask in sum += (map[word] & mask).nonzeroBitCount }
    return sum
  }

  /// The words with the `count` bits from `index` on, and which bits of them these are.
  private static func eachWord(_ index: Int, _ count: Int, _ body: (Int, UInt64) -> Void) {
    var position = index
    let end = index + count
    while position < end {
      let word = position / 64
      let last = min(end, (word + 1) * 64)
      let ones: UInt64 = last - position == 64 ? ~0 : (1 << UInt64(last - position)) - 1
      let mask = ones << UInt64(position % 64)
      body(word, mask)
      position = last
    }
  }
}

extension PageHeap {
  /// Takes up to `most` neighbouring blocks that are free and have memory, the highest there are, so that nobody else uses
  /// them while they are given back to the kernel; the caller then calls `returnReleased`.
  static func takeForRelease(_ most: Int, on m: MRef) -> (index: Int, count: Int)? {
    pages.pointee.lock.lock(m)
    defer { pages.pointee.lock.unlock(m) }
    let free = pages.pointee.freeMap
    let released = pages.pointee.releasedMap
    var word = (pages.pointee.frontier + 63) / 64 - 1
    while word >= pages.pointee.searchFrom {
      let bits = free[word] & ~released[word]
      if bits == 0 {
        word -= 1
        continue
      }
      let last = word * 64 + 63 - bits.leadingZeroBitCount
      var first = last
      while first > 0 && last - first + 1 < most && Self.isSet(free, first - 1) && !Self.isSet(released, first - 1) {
        first -= 1
      }
      let count = last - first + 1
      pages.pointee.setBits(free, first, count, to: false)
      pages.pointee.releasing.wrappingAdd(1, ordering: .relaxed)
      pages.pointee.freeCount.store(
        pages.pointee.freeCount.load(ordering: .relaxed) - count, ordering: .relaxed)
      return (first, count)
    }
    return nil
  }

  /// The blocks of `takeForRelease` are free again, without memory.
  static func returnReleased(_ index: Int, _ count: Int, on m: MRef) {
    pages.pointee.lock.lock(m)
    pages.pointee.put(index, count, released: true)
    pages.pointee.releasing.wrappingSubtract(1, ordering: .relaxed)
    pages.pointee.releases.wrappingAdd(1, ordering: .relaxed)
    pages.pointee.lock.unlock(m)
  }

  static var isReleasing: Bool { pages.pointee.releasing.load(ordering: .relaxed) > 0 }
  static var releases: Int { pages.pointee.releases.load(ordering: .relaxed) }

  private static func isSet(_ map: UnsafeMutablePointer<UInt64>, _ index: Int) -> Bool {
    map[index / 64] & (1 << UInt64(index % 64)) != 0
  }
}
