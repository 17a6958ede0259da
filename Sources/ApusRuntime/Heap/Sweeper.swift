import CApus
import Synchronization

/// Sweeping: what was not marked is free (Go's `sweep`, `sweepone`). Each block is swept once after each cycle, by whoever
/// wants to allocate in it, by the background sweeper, or by the one who begins the next cycle, before it does.
///
/// Sweeping a block of objects without anything to destroy is writing its marks over its allocation bits: no object is
/// touched. The others go to `Cleanup`.
struct Sweeper: ~Copyable {
  /// Raised by two at the end of each cycle, while the world stands still: all blocks are unswept then.
  let generation = Atomic<UInt32>(2)
  /// Blocks that are unswept, or being swept.
  let unswept = Atomic<Int>(0)
  /// Where the background sweeper waits for the end of a cycle.
  let work = SemaphoreRoot(0)
  /// It is running or was told to: one release of `work` is enough.
  let isAwake = Atomic<Bool>(true)

  init() {}

  private static var sweeper: UnsafeMutablePointer<Sweeper> {
    withUnsafeMutablePointer(to: &heap.pointee.sweeper) { $0 }
  }

  static var isDone: Bool { sweeper.pointee.unswept.load(ordering: .acquiring) == 0 }

  /// All blocks are to be swept from now on. The world stands still, and no cache has a block.
  static func turn(on m: MRef) {
    var count = 0
    var layout = heap.pointee.types.layouts.load(ordering: .acquiring)
    while let current = layout {
      assert(current.pointee.unswept.isEmpty, "a cycle ends with blocks unswept since the one before")
      current.pointee.unswept.append(&current.pointee.partial)
      current.pointee.unswept.append(&current.pointee.full)
      count += current.pointee.unswept.count
      layout = current.pointee.next
    }
    count += Cleanup.blockCount
    sweeper.pointee.unswept.store(count, ordering: .releasing)
    sweeper.pointee.generation.store(
      sweeper.pointee.generation.load(ordering: .relaxed) &+ 2, ordering: .sequentiallyConsistent)
  }

  /// Takes an unswept block of `layout` and sweeps it. A block with free slots is the caller's; one without goes where it
  /// belongs. nil when there is none to be swept; the inner nil when the block that was swept has nothing free.
  static func sweepOne(of layout: HeapLayoutRef, on m: MRef) -> Int?? {
    layout.pointee.lock.lock(m)
    let taken = layout.pointee.unswept.pop()
    layout.pointee.lock.unlock(m)
    guard let index = taken else { return .none }
    let block = heap.pointee.arena.block(at: index)
    sweep(index, block, on: m)
    sweeper.pointee.unswept.wrappingSubtract(1, ordering: .releasing)
    if layout.pointee.needsCleanup && Cleanup.accept(index, on: m) { return .some(nil) }
    if block.pointee.state == .large {
      let allocation = heap.pointee.arena.allocation(of: heap.pointee.arena.address(ofBlock: index))
      if allocation.word.pointee & allocation.bit == 0 {
        PageHeap.free(index, Int(block.pointee.blockCount), on: m)
        return .some(nil)
      }
    }
    if block.pointee.freeSlots > 0 && block.pointee.state != .large { return .some(index) }
    layout.pointee.lock.lock(m)
    layout.pointee.full.push(index)
    layout.pointee.lock.unlock(m)
    return .some(nil)
  }

  /// Sweeps the block, which is the caller's: its bitmaps and counts. At the end of the section the trace is told
  /// (`Trace.endSweep`).
  static func sweep(_ index: Int, _ block: BlockRef, on m: MRef) {
    let generation = sweeper.pointee.generation.load(ordering: .relaxed)
    assert(block.pointee.sweepGeneration.load(ordering: .relaxed) == generation &- 2, "a block is swept twice")
    let free = block.pointee.freeSlots
    if Trace.isOn { Trace.beginSweep(on: m) }
    block.pointee.sweepGeneration.store(generation &- 1, ordering: .sequentiallyConsistent)
    WeakTable.sweep(block, on: m)
    let allocated = heap.pointee.arena.allocatedWords(ofBlock: index)
    let marks = heap.pointee.arena.marks(ofBlock: index)
    let mask = block.pointee.layout.unsafelyUnwrapped.pointee.slotMask
    let words = block.pointee.state == .large ? 1 : HeapGeometry.wordsPerBlock
    if block.pointee.needsCleanup {
      let dead = heap.pointee.arena.deadWords(ofBlock: index)
      var found = 0
      for word in 0..<words {
        let unfound = allocated[word] & ~(apus_marks_take(marks + 64 * word) & mask[word])
        let new = unfound & ~dead[word]
        if new != 0 { _ = apus_bits_or(dead + word, new) }
        found += new.nonzeroBitCount
      }
      CleanupPace.add(found * Int(block.pointee.slotSize))
    } else {
      var live = 0
      for word in 0..<words {
        let bits = apus_marks_take(marks + 64 * word) & mask[word]
        allocated[word] = bits
        live += bits.nonzeroBitCount
      }
      block.pointee.freeSlots = block.pointee.layout.unsafelyUnwrapped.pointee.slotCount - UInt32(live)
    }
    block.pointee.position = 0
    block.pointee.sweepGeneration.store(generation, ordering: .releasing)
    if Trace.isOn { Trace.countSweep(of: block, free: free, on: m) }
  }

  /// Puts a swept block with free slots where it belongs: to the page heap when nothing in it is used.
  static func put(_ index: Int, _ block: BlockRef, _ layout: HeapLayoutRef, on m: MRef) {
    if block.pointee.freeSlots == layout.pointee.slotCount {
      PageHeap.free(index, 1, on: m)
      return
    }
    layout.pointee.lock.lock(m)
    layout.pointee.partial.push(index)
    layout.pointee.lock.unlock(m)
  }

  /// Sweeps up to `limit` blocks of any layout; how many there were.
  private static func sweepSome(_ limit: Int, from layout: inout HeapLayoutRef?) -> Int {
    var count = 0
    let m = acquireM()
    while count < limit, let current = layout {
      guard let swept = sweepOne(of: current, on: m) else {
        layout = current.pointee.next
        continue
      }
      count += 1
      if let index = swept { put(index, heap.pointee.arena.block(at: index), current, on: m) }
    }
    if Trace.isOn { Trace.endSweep(on: m) }
    releaseM(m)
    Cleanup.wake()
    return count
  }

  /// Sweeps all that is not swept yet, and waits for those that others are sweeping. The caller is in no section.
  static func finish() {
    while !isDone {
      var layout = heap.pointee.types.layouts.load(ordering: .acquiring)
      var count = 0
      while layout != nil { count += sweepSome(64, from: &layout) }
      count += Cleanup.sweepUnswept()
      // Whoever has a block is in a section, and soon done.
      if count == 0 && !isDone { Thread.yield() }
    }
  }

  /// Has the background sweeper begin. A cycle has ended.
  static func wake() {
    if !sweeper.pointee.isAwake.exchange(true, ordering: .acquiringAndReleasing) { sweeper.pointee.work.release() }
  }

  /// The background sweeper's goroutine (Go's `bgsweep`).
  static func runInBackground() {
    while true {
      sweeper.pointee.isAwake.store(false, ordering: .releasing)
      sweeper.pointee.work.acquire(1, .sweepWait)
      var layout = heap.pointee.types.layouts.load(ordering: .acquiring)
      while layout != nil {
        _ = sweepSome(16, from: &layout)
        Park.yield()
      }
      _ = Cleanup.sweepUnswept()
      Scavenger.wake()
    }
  }
}
