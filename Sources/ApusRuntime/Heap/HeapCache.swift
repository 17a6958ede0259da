import CApus
import Synchronization

/// A P's place for new objects of one layout: a run of free slots, from which the next one is taken by adding.
public struct HeapCacheEntry {
  /// The type's key (for an array with the size class in the topmost byte); 0 for an empty entry.
  public var key: UInt = 0
  /// The next slot of the run, and the run's end.
  public var cursor: UInt = 0
  public var limit: UInt = 0
  /// The block that the run is in: its index and 1; 0 when there is none.
  var block: UInt32 = 0
}

/// A P's share of the heap (Go's `mcache` and `gcWork`): written by the P's holder inside sections, and by whoever has
/// stopped the world.
public struct HeapCache {
  /// `count` entries; an empty table that all Ps share until this P allocates.
  public var entries: UnsafeMutablePointer<HeapCacheEntry>
  /// Objects to be scanned, most of those that this P has found.
  var buffer: MarkBufferRef?
  /// Bytes of objects marked since they were last added to the collector's sum.
  var markedBytes = 0
  /// Bytes of slots taken in this cycle: their objects live, and nobody has to mark them.
  var blackBytes = 0
  /// Bytes taken from the heap for which nobody has helped marking yet.
  var debt = 0
  /// What was found on the stacks of goroutines that this P has left.
  var notes = StackNotes()

  static var count: Int { 64 }

  init() {
    entries = Self.noEntries
  }

  private static var noEntries: UnsafeMutablePointer<HeapCacheEntry> {
    UnsafeMutableRawPointer(apus_no_heap_entries()).unsafelyUnwrapped.assumingMemoryBound(to: HeapCacheEntry.self)
  }

  /// Which entry `key` has, with others.
  @inlinable
  @inline(__always)
  public static func index(_ key: UInt) -> Int {
    Int(truncatingIfNeeded: ((key >> 4) ^ (key >> 10) ^ (key >> 56)) & 63)
  }

  /// The key of the array type `key` at the size class `index`.
  @inlinable
  @inline(__always)
  public static func key(_ key: UInt, class index: Int) -> UInt { key ^ (UInt(bitPattern: index &+ 1) << 56) }

  /// The entry for `key`, a table of its own first. The caller is in a section of the P's holder.
  mutating func entry(_ key: UInt) -> UnsafeMutablePointer<HeapCacheEntry> {
    if entries == Self.noEntries {
      entries = PersistentMemory.map(bytes: Self.count * MemoryLayout<HeapCacheEntry>.stride)
        .bindMemory(to: HeapCacheEntry.self, capacity: Self.count)
    }
    return entries + Self.index(key)
  }

  /// Gives back every run and block, so that the cache holds nothing (Go's `releaseAll`). The world stands still, or the P
  /// is the caller's.
  mutating func flush(on m: MRef) {
    if entries == Self.noEntries { return }
    for index in 0..<Self.count { Self.flush(entries + index, on: m) }
  }

  /// Gives the buffer back, so that all grey objects are where everybody finds them.
  mutating func shareBuffer(on m: MRef) {
    guard let buffer else { return }
    MarkWork.put(buffer, on: m)
    self.buffer = nil
  }

  /// Adds what was marked to the collector's sum.
  mutating func publishMarked() {
    if markedBytes == 0 { return }
    ApusRuntime.heap.pointee.pacer.marked.wrappingAdd(markedBytes, ordering: .relaxed)
    markedBytes = 0
  }

  /// Gives the entry's run and block back.
  static func flush(_ entry: UnsafeMutablePointer<HeapCacheEntry>, on m: MRef) {
    guard entry.pointee.block != 0 else { return }
    let index = Int(entry.pointee.block) - 1
    let block = heap.pointee.arena.block(at: index)
    let layout = block.pointee.layout.unsafelyUnwrapped
    if entry.pointee.cursor < entry.pointee.limit {
      let (start, end) = (entry.pointee.cursor, entry.pointee.limit)
      BlockRuns.giveBack(from: start, to: end, in: index)
      if apus_is_marking() != 0, let p = m.pointee.p { p.pointee.heap.blackBytes -= Int(end - start) }
    }
    Pacer.credit(Int(block.pointee.freeSlots) * Int(layout.pointee.slotSize))
    layout.pointee.lock.lock(m)
    if block.pointee.freeSlots > 0 { layout.pointee.partial.push(index) } else { layout.pointee.full.push(index) }
    layout.pointee.lock.unlock(m)
    entry.pointee = HeapCacheEntry()
  }
}
