import CApus
import Synchronization

/// Where new objects come from when the P's cache has no slot left (the slow path of Go's `mallocgc`).
public enum HeapAllocator {
  /// A slot for an object of `type` at the size class `index`, by the key under which the caches have it. Inside a section
  /// of the M that is returned: the caller initialises the object and then releases the M. Until then nobody looks at it.
  public static func slot(of type: HeapTypeRef, key: UInt, class index: Int) -> (m: MRef, address: UInt) {
    let m = acquireM()
    if let address = takeFromNextRun(key, on: m) { return (m, address) }
    releaseM(m)
    Collector.poll()
    var shortage = HeapShortage(of: 1)
    while true {
      let m = acquireM()
      let layout = HeapTypes.layout(of: type, class: index, on: m)
      if let address = refill(key, layout, on: m) { return (m, address) }
      releaseM(m)
      if !shortage.relieve() { outOfMemory(bytes: Int(layout.pointee.slotSize)) }
    }
  }

  /// Blocks of its own for a large object of `bytes`, as `slot` returns them.
  public static func large(of type: HeapTypeRef, class index: Int, bytes: Int) -> (m: MRef, address: UInt) {
    let count = (bytes + HeapGeometry.blockSize - 1) / HeapGeometry.blockSize
    if bytes < 0 || count > heap.pointee.arena.blockLimit { outOfMemory(bytes: bytes) }
    Collector.poll(owing: bytes)
    var shortage = HeapShortage(of: count)
    while true {
      let m = acquireM()
      if let first = takeFresh(count, on: m) {
        let layout = HeapTypes.layout(of: type, class: index, on: m)
        return (m, makeLarge(first, count, bytes, layout, on: m))
      }
      releaseM(m)
      if !shortage.relieve() { outOfMemory(bytes: bytes) }
    }
  }

  /// The address of a large object of `bytes` in the `count` blocks from `first` on.
  private static func makeLarge(
    _ first: Int, _ count: Int, _ bytes: Int, _ layout: HeapLayoutRef, on m: MRef
  ) -> UInt {
    let size = UInt(bytes + 7) & ~7
    layout.adopt(first, blocks: count, bytes: size)
    let block = heap.pointee.arena.block(at: first)
    block.pointee.freeSlots = 0
    let address = heap.pointee.arena.address(ofBlock: first)
    let allocation = heap.pointee.arena.allocation(of: address)
    allocation.word.pointee |= allocation.bit
    let cache = processor(m)
    if apus_is_marking() != 0 {
      apus_mark_set(heap.pointee.arena.mark(of: address))
      cache.pointee.heap.blackBytes += Int(size)
    }
    Pacer.charge(Int(size))
    if Trace.isOn { Trace.heapSize(on: m) }
    layout.pointee.lock.lock(m)
    layout.pointee.full.push(first)
    layout.pointee.lock.unlock(m)
    return address
  }

  private static func processor(_ m: MRef) -> PRef {
    guard let p = m.pointee.p else {
      FatalReport.fatalError("runtime: allocation of a managed object by a thread without a processor")
    }
    return p
  }

  /// The first slot of the next run in the block that the cache has.
  @inline(__always)
  private static func takeFromNextRun(_ key: UInt, on m: MRef) -> UInt? {
    let entry = processor(m).pointee.heap.entry(key)
    guard entry.pointee.key == key && entry.pointee.block != 0 else { return nil }
    return takeRun(of: entry, on: m)
  }

  private static func takeRun(of entry: UnsafeMutablePointer<HeapCacheEntry>, on m: MRef) -> UInt? {
    // Another goroutine may have filled the entry since the caller found it empty.
    let index = Int(entry.pointee.block) - 1
    let size = heap.pointee.arena.block(at: index).pointee.slotSize
    if entry.pointee.cursor == entry.pointee.limit {
      guard let run = BlockRuns.take(index) else { return nil }
      if apus_is_marking() != 0 { processor(m).pointee.heap.blackBytes += Int(run.end - run.start) }
      entry.pointee.cursor = run.start
      entry.pointee.limit = run.end
    }
    defer { entry.pointee.cursor += size }
    return entry.pointee.cursor
  }

  /// Gives the cache another block, and takes its first slot; nil when there is none.
  private static func refill(_ key: UInt, _ layout: HeapLayoutRef, on m: MRef) -> UInt? {
    let entry = processor(m).pointee.heap.entry(key)
    if entry.pointee.key == key && entry.pointee.block != 0, let address = takeRun(of: entry, on: m) { return address }
    HeapCache.flush(entry, on: m)
    guard let index = takeBlock(layout, on: m) else { return nil }
    let bytes = Int(heap.pointee.arena.block(at: index).pointee.freeSlots) * Int(layout.pointee.slotSize)
    Pacer.charge(bytes)
    if Trace.isOn { Trace.heapSize(on: m) }
    processor(m).pointee.heap.debt += bytes
    entry.pointee = HeapCacheEntry(key: key, cursor: 0, limit: 0, block: UInt32(index + 1))
    guard let address = takeRun(of: entry, on: m) else {
      FatalReport.fatalError("runtime: a block of the managed heap has no slot where it counts one")
    }
    return address
  }

  /// A block with at least one free slot: one that is partly used, one that has to be swept, or a fresh one; nil when there
  /// is none.
  private static func takeBlock(_ layout: HeapLayoutRef, on m: MRef) -> Int? {
    layout.pointee.lock.lock(m)
    let partial = layout.pointee.partial.pop()
    layout.pointee.lock.unlock(m)
    if let partial { return partial }
    let swept = takeSweptBlock(layout, on: m)
    if Trace.isOn { Trace.endSweep(on: m) }
    if let swept { return swept }
    guard let index = takeFresh(1, on: m) else { return nil }
    layout.adopt(index, blocks: 1, bytes: 0)
    return index
  }

  private static func takeSweptBlock(_ layout: HeapLayoutRef, on m: MRef) -> Int? {
    // So many blocks without a free slot, and it is better to take a fresh one (as Go does).
    for _ in 0..<100 {
      guard let swept = Sweeper.sweepOne(of: layout, on: m) else { return nil }
      if let index = swept { return index }
    }
    return nil
  }

  private static func takeFresh(_ count: Int, on m: MRef) -> Int? {
    Scavenger.makeRoom(for: count)
    return PageHeap.allocate(count, on: m)
  }

  private static func outOfMemory(bytes: Int) -> Never {
    FatalReport.outOfMemory(
      bytes: bytes, inUse: PageHeap.usedBlocks * HeapGeometry.blockSize,
      limit: heap.pointee.arena.blockLimit * HeapGeometry.blockSize)
  }
}
