import CApus
import Synchronization

/// The destruction of objects that have something for Swift's reference counting: strings, arrays, class references.
///
/// A sweeper marks the dead ones and leaves the block here. A goroutine of the runtime destroys them one by one, like Go's
/// goroutine for finalizers: what they held may run any `deinit`, which may take locks or wait. So nobody who allocates
/// runs into it, and no collection waits for it; a dead object keeps its slot until it is destroyed. Nobody allocates in a
/// block that is here. Who allocates faster than the goroutine destroys waits for it (`CleanupPace`).
struct Cleanup: ~Copyable {
  let lock = RuntimeLock(.cleanup)
  // Under lock.
  private var blocks = BlockList()
  /// The block that is being worked on: its index and 1. It is in no list.
  private var current: UInt32 = 0
  private var isStarted = false
  /// Where the goroutine waits.
  private let work = SemaphoreRoot(0)
  private var isWaiting = false
  /// The goroutine, once it runs. And the objects, or pieces of arrays, that it has destroyed.
  private let goroutine = Atomic<GRef?>(nil)
  private let destroyed = Atomic<Int>(0)
  var pace = CleanupPace()
  /// A block came, and nobody has told the goroutine.
  private let needsWake = Atomic<Bool>(false)

  init() {}

  private static var cleanup: UnsafeMutablePointer<Cleanup> {
    withUnsafeMutablePointer(to: &heap.pointee.cleanup) { $0 }
  }

  /// The blocks that are here. Under lock, or while the world stands still.
  static var blockCount: Int { cleanup.pointee.blocks.count + (cleanup.pointee.current != 0 ? 1 : 0) }

  /// The block was swept: takes it if it has dead objects, or is here already. Otherwise it counts the free slots, false.
  static func accept(_ index: Int, on m: MRef) -> Bool {
    let block = heap.pointee.arena.block(at: index)
    if !hasDead(index, block) {
      count(index, block)
      return false
    }
    cleanup.pointee.lock.lock(m)
    block.pointee.isInCleanup = true
    cleanup.pointee.blocks.push(index)
    cleanup.pointee.lock.unlock(m)
    cleanup.pointee.needsWake.store(true, ordering: .releasing)
    return true
  }

  /// Has the goroutine begin if there is something for it to do. Not in a section: a thread may be started for it.
  @inline(__always)
  static func wake() {
    if cleanup.pointee.needsWake.load(ordering: .relaxed) { wakeSlowly() }
  }

  @inline(never)
  private static func wakeSlowly() {
    if !cleanup.pointee.needsWake.exchange(false, ordering: .acquiring) { return }
    let m = currentM()
    cleanup.pointee.lock.lock(m)
    let wakes = cleanup.pointee.isWaiting
    cleanup.pointee.isWaiting = false
    let starts = !cleanup.pointee.isStarted
    cleanup.pointee.isStarted = true
    cleanup.pointee.lock.unlock(m)
    if starts { SystemGoroutine.start { Cleanup.run() } }
    if wakes { cleanup.pointee.work.release() }
  }

  /// Sweeps the blocks that are here and unswept; how many there were. Not the one that is being worked on, if its turn is
  /// just over: that one's sweeping is seen to by the goroutine.
  static func sweepUnswept() -> Int {
    let m = acquireM()
    cleanup.pointee.lock.lock(m)
    let generation = heap.pointee.sweeper.generation.load(ordering: .relaxed)
    var count = 0
    cleanup.pointee.eachBlock { index in
      let block = heap.pointee.arena.block(at: index)
      if block.pointee.sweepGeneration.load(ordering: .relaxed) == generation { return }
      Sweeper.sweep(index, block, on: m)
      count += 1
    }
    cleanup.pointee.lock.unlock(m)
    if count > 0 { heap.pointee.sweeper.unswept.wrappingSubtract(count, ordering: .releasing) }
    if Trace.isOn { Trace.endSweep(on: m) }
    releaseM(m)
    return count
  }

  private func eachBlock(_ body: (Int) -> Void) {
    if current != 0 { body(Int(current) - 1) }
    blocks.each(body)
  }

  /// Waits until the goroutine has nothing to do: while it comes forward, since a `deinit` may wait for the caller. On the
  /// goroutine itself it does nothing.
  static func finish() {
    wake()
    if isCurrent { return }
    var (last, since) = (-1, Clock.nanotime())
    while true {
      let m = currentM()
      cleanup.pointee.lock.lock(m)
      let isDone = blockCount == 0
      cleanup.pointee.lock.unlock(m)
      if isDone { return }
      let (now, destroyed) = (Clock.nanotime(), destroyedCount)
      if destroyed != last { (last, since) = (destroyed, now) }
      if now - since > longestStandstill { return }
      Timers.sleep(until: now + 50_000)
    }
  }

  /// Nanoseconds for which `finish` waits for one object, or a piece of an array.
  private static var longestStandstill: Int64 { 100_000_000 }

  /// How many of these were destroyed so far.
  static var destroyedCount: Int { cleanup.pointee.destroyed.load(ordering: .relaxed) }

  /// Whether the goroutine is parked in a `deinit`. It may go on at this moment.
  static var isHeldUp: Bool {
    guard let goroutine = cleanup.pointee.goroutine.load(ordering: .acquiring) else { return false }
    return goroutine.pointee.status == .waiting && goroutine.pointee.waitReason != .cleanupWait
  }

  /// Whether the caller is on the goroutine: in a `deinit`.
  static var isCurrent: Bool { cleanup.pointee.goroutine.load(ordering: .relaxed) == currentM().currentG }

  /// The goroutine.
  private static func run() {
    cleanup.pointee.goroutine.store(currentM().currentG, ordering: .releasing)
    while true {
      guard let index = take() else {
        cleanup.pointee.work.acquire(1, .cleanupWait)
        continue
      }
      let block = heap.pointee.arena.block(at: index)
      let arena = heap.pointee.arena
      let base = arena.address(ofBlock: index)
      let dead = arena.deadWords(ofBlock: index)
      let words = block.pointee.state == .large ? 1 : HeapGeometry.wordsPerBlock
      for word in 0..<words {
        let bits = apus_bits_load(dead + word)
        var left = bits
        while left != 0 {
          destroy(base + UInt(word * 64 + left.trailingZeroBitCount) << UInt(HeapGeometry.granuleShift), block)
          left &= left - 1
        }
        if bits != 0 { release(index, word, bits, block) }
      }
      finish(index, block)
    }
  }

  private static func destroy(_ address: UInt, _ block: BlockRef) {
    let type = block.pointee.layout.unsafelyUnwrapped.pointee.type
    guard let destroy = type.pointee.destroy else { return }
    let object = UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped
    // An array's elements begin behind their number; anything else is one element at the start.
    var next = object + Int(type.pointee.elements)
    var left = type.pointee.isArray ? object.load(as: Int.self) : 1
    while left > 0 {
      let count = min(left, piece)
      destroy(next, count)
      cleanup.pointee.destroyed.wrappingAdd(1, ordering: .relaxed)
      next += count * Int(type.pointee.size)
      left -= count
    }
  }

  /// Elements of an array that count as one object.
  private static var piece: Int { 1024 }

  /// The slots are free. Their word may be swept at this moment.
  private static func release(_ index: Int, _ word: Int, _ bits: UInt64, _ block: BlockRef) {
    let m = currentM()
    cleanup.pointee.lock.lock(m)
    _ = apus_bits_and(heap.pointee.arena.allocatedWords(ofBlock: index) + word, ~bits)
    _ = apus_bits_and(heap.pointee.arena.deadWords(ofBlock: index) + word, ~bits)
    let bytes = bits.nonzeroBitCount * Int(block.pointee.slotSize)
    cleanup.pointee.pace.pendingBytes.wrappingSubtract(bytes, ordering: .relaxed)
    cleanup.pointee.lock.unlock(m)
    CleanupPace.serve(bytes)
  }

  private static func take() -> Int? {
    let m = currentM()
    cleanup.pointee.lock.lock(m)
    defer { cleanup.pointee.lock.unlock(m) }
    guard let index = cleanup.pointee.blocks.pop() else {
      cleanup.pointee.isWaiting = true
      return nil
    }
    cleanup.pointee.current = UInt32(index + 1)
    return index
  }

  /// The goroutine is done with the block, unless it has got more dead objects meanwhile.
  private static func finish(_ index: Int, _ block: BlockRef) {
    let layout = block.pointee.layout.unsafelyUnwrapped
    let m = acquireM()
    cleanup.pointee.lock.lock(m)
    let isUnswept =
      block.pointee.sweepGeneration.load(ordering: .relaxed)
      != heap.pointee.sweeper.generation.load(ordering: .relaxed)
    if isUnswept { Sweeper.sweep(index, block, on: m) }
    cleanup.pointee.current = 0
    let hasMore = hasDead(index, block)
    if hasMore {
      cleanup.pointee.blocks.push(index)
    } else {
      block.pointee.isInCleanup = false
    }
    cleanup.pointee.lock.unlock(m)
    if !hasMore {
      count(index, block)
      if block.pointee.state == .large {
        let allocation = heap.pointee.arena.allocation(of: heap.pointee.arena.address(ofBlock: index))
        if allocation.word.pointee & allocation.bit == 0 {
          PageHeap.free(index, Int(block.pointee.blockCount), on: m)
        } else {
          putFull(index, layout, on: m)
        }
      } else if block.pointee.freeSlots > 0 {
        Sweeper.put(index, block, layout, on: m)
      } else {
        putFull(index, layout, on: m)
      }
    }
    // Last: whoever begins a cycle waits for it, and the block is in a list by then.
    if isUnswept { heap.pointee.sweeper.unswept.wrappingSubtract(1, ordering: .releasing) }
    if Trace.isOn { Trace.endSweep(on: m) }
    releaseM(m)
  }

  private static func putFull(_ index: Int, _ layout: HeapLayoutRef, on m: MRef) {
    layout.pointee.lock.lock(m)
    layout.pointee.full.push(index)
    layout.pointee.lock.unlock(m)
  }

  private static func hasDead(_ index: Int, _ block: BlockRef) -> Bool {
    let dead = heap.pointee.arena.deadWords(ofBlock: index)
    for word in 0..<(block.pointee.state == .large ? 1 : HeapGeometry.wordsPerBlock)
    where apus_bits_load(dead + word) != 0 {
      return true
    }
    return false
  }

  private static func count(_ index: Int, _ block: BlockRef) {
    let allocated = heap.pointee.arena.allocatedWords(ofBlock: index)
    var live = 0
    for word in 0..<(block.pointee.state == .large ? 1 : HeapGeometry.wordsPerBlock) {
      live += allocated[word].nonzeroBitCount
    }
    block.pointee.freeSlots = block.pointee.layout.unsafelyUnwrapped.pointee.slotCount - UInt32(live)
  }
}
