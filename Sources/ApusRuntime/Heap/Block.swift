import Synchronization

/// What a block is used for.
enum BlockState: UInt8 {
  /// Nothing; it may be given out.
  case free = 0
  /// Slots for objects of one layout (Go's span of a size class).
  case slots
  /// The first block of a large object.
  case large
  /// Another block of a large object; `head` says which is the first.
  case tail
}

/// The record of 32 KiB of the arena (Go's `mspan`). Records lie in a table of their own: an object's address leads to its
/// record by a shift, and headers at the same place in each block would share a few sets of the cache.
///
/// Whoever has the block writes its record: the P in whose cache it is, the sweeper that took it off its list, the page
/// heap under its lock. `sweepGeneration` is the exception: it is what a sweeper claims the block by.
struct Block: ~Copyable {
  var state = BlockState.free
  /// Objects have no links: they need no scanning. Also in the records of a large object's other blocks, as `linkMask`.
  var isNoScan = false
  /// Objects have something for Swift's reference counting, and are destroyed one by one.
  var needsCleanup = false
  /// It is on the list of blocks with objects to be destroyed, or being worked on there. Under the cleanup's lock.
  var isInCleanup = false
  /// Against `Sweeper.generation`: equal: swept; one less: being swept; two less: to be swept.
  let sweepGeneration = Atomic<UInt32>(0)
  var layout: HeapLayoutRef?
  /// Bytes of a slot; of a large object all that it takes.
  var slotSize: UInt = 0
  /// 2^32 / slotSize, rounded up: `offset * reciprocal >> 32` is the number of the slot at `offset`.
  var reciprocal: UInt32 = 0
  /// A bit for each four bytes of a slot that are a link; 0 where that is not all there is to know (`HeapLayout.linkMask`).
  var linkMask: UInt32 = 0
  /// The bytes that slots take: offsets from here on are in none.
  var usable: UInt32 = 0
  /// Slots not given out, less those in the run that a cache has taken.
  var freeSlots: UInt32 = 0
  /// The bit at which the search for the next run goes on.
  var position: UInt32 = 0
  /// For a tail: the index of the large object's first block.
  var head: UInt32 = 0
  /// For a large object: its blocks.
  var blockCount: UInt32 = 1
  /// The next block in the list that it is in: its index and 1; 0 at the end.
  var next: UInt32 = 0
  /// The block's first weak reference. Written under `WeakTable.lock`.
  let weak = Atomic<UInt32>(0)
  /// The generation for which the weak references were looked at; under `WeakTable.lock`.
  var weakGeneration: UInt32 = 0
}

typealias BlockRef = UnsafeMutablePointer<Block>

/// A list of blocks by their links, last in first out. Under the lock of whatever holds it.
struct BlockList {
  private var first: UInt32 = 0
  private var last: UInt32 = 0
  private(set) var count = 0

  var isEmpty: Bool { first == 0 }

  mutating func push(_ index: Int) {
    let block = heap.pointee.arena.block(at: index)
    block.pointee.next = first
    if first == 0 { last = UInt32(index + 1) }
    first = UInt32(index + 1)
    count += 1
  }

  mutating func pop() -> Int? {
    if first == 0 { return nil }
    let index = Int(first) - 1
    first = heap.pointee.arena.block(at: index).pointee.next
    if first == 0 { last = 0 }
    count -= 1
    return index
  }

  /// Calls `body` with each, which must leave the list as it is.
  func each(_ body: (Int) -> Void) {
    var link = first
    while link != 0 {
      let index = Int(link) - 1
      link = heap.pointee.arena.block(at: index).pointee.next
      body(index)
    }
  }

  /// Takes over all that is in `other`.
  mutating func append(_ other: inout BlockList) {
    if other.first == 0 { return }
    heap.pointee.arena.block(at: Int(other.last) - 1).pointee.next = first
    if first == 0 { last = other.last }
    first = other.first
    count += other.count
    other = BlockList()
  }
}
