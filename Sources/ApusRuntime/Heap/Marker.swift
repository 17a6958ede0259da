import CApus
import Synchronization

/// Marks and scans objects, with what it needs for that at hand (the inner part of Go's `gcDrain`, `greyobject`,
/// `scanobject`, `scanConservative`). Lives inside one section, or while the world stands still: `init` takes what the P
/// has, `end` puts it back.
///
/// The links of an object are looked at from the last to the first. What is queued last is scanned first, so the first link
/// is followed first, then what that one leads to, and the objects come in about the order in which most programs have made
/// them: neighbours in memory after each other. The other way round it takes a fifth longer.
struct Marker {
  private let base: UInt
  /// The bytes of the arena that were ever given out.
  private let used: UInt
  private let arena: Arena
  private let m: MRef
  private let cache: UnsafeMutablePointer<HeapCache>
  private var buffer: MarkBufferRef
  private(set) var markedBytes = 0
  /// Bytes of arrays that were scanned in this `drain`: there may be nothing to mark in them, and it takes its time.
  private var arrayBytes = 0

  /// How much of a large array is scanned in one piece: others can take the next ones, and a section stays short.
  private static var piece: UInt { 128 << 10 }

  init(_ cache: UnsafeMutablePointer<HeapCache>, on m: MRef) {
    arena = heap.pointee.arena
    base = arena.base
    used = PageHeap.frontier
    self.m = m
    self.cache = cache
    buffer = cache.pointee.buffer ?? MarkWork.takeEmpty(on: m)
    cache.pointee.buffer = nil
  }

  /// For whoever has stopped the world.
  init(stopper m: MRef) {
    let p = m.pointee.p.unsafelyUnwrapped
    self.init(withUnsafeMutablePointer(to: &p.pointee.heap) { $0 }, on: m)
  }

  /// Leaves what is not scanned to the P's cache.
  mutating func end() {
    cache.pointee.buffer = buffer
    cache.pointee.markedBytes += markedBytes
    markedBytes = 0
  }

  /// Leaves what is not scanned to everybody.
  mutating func endSharing() {
    MarkWork.put(buffer, on: m)
    cache.pointee.markedBytes += markedBytes
    markedBytes = 0
  }

  /// Marks the object at `address`, which is an object's; queues it for scanning if it was not marked and has links.
  @inline(__always)
  mutating func mark(_ address: UInt) {
    guard let block = Self.setMark(of: address, in: arena) else { return }
    markedBytes &+= Int(bitPattern: block.pointee.slotSize)
    if block.pointee.isNoScan { return }
    push(MarkBuffer.marked(address))
  }

  /// Marks the object at `address`: its block, or nil if it was marked.
  @inline(__always)
  private static func setMark(of address: UInt, in arena: Arena) -> BlockRef? {
    let mark = arena.mark(of: address)
    if apus_mark_load(mark) != 0 { return nil }
    apus_mark_set(mark)
    return arena.block(at: arena.index(of: address))
  }

  @inline(__always)
  private mutating func push(_ entry: UInt) {
    if buffer.pointee.count == MarkBuffer.capacity { replaceFull() }
    buffer.entries[buffer.pointee.count] = entry
    buffer.pointee.count &+= 1
  }

  @inline(never)
  private mutating func replaceFull() {
    MarkWork.put(buffer, on: m)
    buffer = MarkWork.takeEmpty(on: m)
  }

  /// Scans grey objects until `bytes` have been marked (and scanned, nearly), or as much of arrays was scanned, or none is
  /// left; false when none is left.
  mutating func drain(bytes: Int) -> Bool {
    let goal = markedBytes &+ bytes
    arrayBytes = 0
    var window = MarkWindow()
    var hasMore = true
    while hasMore && markedBytes &+ arrayBytes < goal {
      scanSome(&window, until: goal)
      if buffer.pointee.count == 0 && window.isEmpty {
        hasMore = findMore()
      } else if buffer.pointee.count > Self.fullEnough || (buffer.pointee.count > 8 && !MarkWork.hasWork) {
        share()
      }
    }
    // What is in the window is as grey as what is in the buffer, and only there others find it.
    while !window.isEmpty { push(window.takeLast()) }
    return hasMore
  }

  /// With so many entries there is still room for all links of a batch of objects of which the blocks' records tell all.
  private static var fullEnough: Int { MarkBuffer.capacity - Int(bitPattern: MarkWindow.batch) * UInt32.bitWidth }

  /// Scans what is in the buffer and in the window, batch by batch, until `goal` is reached, both are empty, the buffer is
  /// full enough, or it is time to see whether others have work.
  ///
  /// All that the loops write is in variables of their own: for all that the compiler knows, a store into the buffer might
  /// change what is in `self`, and it would be read again for each object.
  @inline(__always)
  private mutating func scanSome(_ window: inout MarkWindow, until goal: Int) {
    let arena = self.arena
    var (entries, limit) = (buffer.entries, goal &- markedBytes &- arrayBytes)
    var (count, bytes, rounds) = (buffer.pointee.count, 0, 8)
    while bytes < limit && rounds > 0 && count <= Self.fullEnough {
      rounds &-= 1
      let ready = window.turn()
      while count != 0 && !window.isFull {
        count &-= 1
        let entry = entries[count]
        apus_prefetch(entry)
        apus_prefetch_mark(arena.mark(of: entry))
        window.put(entry)
      }
      var index = ready
      while index > 0 {
        index &-= 1
        let entry = window.ready(at: index)
        let address = MarkBuffer.address(entry)
        let block = arena.block(at: arena.index(of: address))
        var links = block.pointee.linkMask
        if !MarkBuffer.isMarked(entry) {
          let mark = arena.mark(of: address)
          if apus_mark_load(mark) != 0 { continue }
          apus_mark_set(mark)
          bytes &+= Int(bitPattern: block.pointee.slotSize)
        }
        if links == 0 {
          buffer.pointee.count = count
          scan(address, block)
          if buffer.pointee.count > Self.fullEnough { replaceFull() }
          entries = buffer.entries
          count = buffer.pointee.count
          limit = goal &- markedBytes &- arrayBytes
          if bytes < limit { continue }
          // It was much. The rest of the batch goes back; there is room for it.
          while index > 0 {
            index &-= 1
            entries[count] = window.ready(at: index)
            count &+= 1
          }
          break
        }
        repeat {
          let word = 31 &- links.leadingZeroBitCount
          links ^= 1 &<< UInt32(truncatingIfNeeded: word)
          let place = address &+ UInt(truncatingIfNeeded: word) &* 8
          let target = apus_load_link(UnsafeRawPointer(bitPattern: place).unsafelyUnwrapped)
          entries[count] = target
          if target != 0 { count &+= 1 }
        } while links != 0
      }
      if count == 0 && window.isEmpty { break }
    }
    buffer.pointee.count = count
    markedBytes &+= bytes
  }

  /// Takes what others have left, or marks roots; false when there is nothing.
  private mutating func findMore() -> Bool {
    guard let full = MarkWork.takeFull(on: m) else { return markRoots() }
    MarkWork.put(buffer, on: m)
    buffer = full
    return true
  }

  /// Marks what a slab of roots holds; false when they are all done, or others see to it.
  private mutating func markRoots() -> Bool {
    let slabs = Collector.rootSlabs
    var slab = slabs.pointee.load(ordering: .acquiring)
    while let current = slab {
      // Slabs are never taken out: the next one is the same for everybody.
      let result = slabs.pointee.compareExchange(
        expected: current, desired: RootTable.next(current), ordering: .acquiringAndReleasing)
      if result.exchanged {
        RootTable.mark(current, with: &self)
        return true
      }
      slab = result.original
    }
    return false
  }

  /// Gives half of the buffer to others, who have nothing (Go's `gcWork.balance`).
  @inline(never)
  private mutating func share() {
    let other = MarkWork.takeEmpty(on: m)
    let half = buffer.pointee.count / 2
    for index in 0..<half { other.entries[index] = buffer.entries[index] }
    let kept = buffer.pointee.count - half
    for index in 0..<kept { buffer.entries[index] = buffer.entries[half + index] }
    other.pointee.count = half
    buffer.pointee.count = kept
    MarkWork.put(other, on: m)
  }

  /// Marks what the object at `address`, or the piece of an array there, links to. The block's record does not tell where
  /// its links are, if it has any.
  @inline(never)
  private mutating func scan(_ address: UInt, _ block: BlockRef) {
    if block.pointee.state != .slots {
      scanLarge(address, arena.block(at: Int(block.pointee.head)))
      return
    }
    if block.pointee.isNoScan { return }
    let layout = block.pointee.layout.unsafelyUnwrapped
    if layout.pointee.elements == 0 {
      scanValue(address, layout)
    } else {
      scanArray(address, layout, from: address, to: address &+ block.pointee.slotSize)
    }
  }

  /// A large object, or a piece of a large array: then `address` lies where a piece begins. Whoever scans the first one
  /// queues the others.
  @inline(never)
  private mutating func scanLarge(_ address: UInt, _ head: BlockRef) {
    if head.pointee.isNoScan { return }
    let layout = head.pointee.layout.unsafelyUnwrapped
    let start = arena.address(ofBlock: Int(head.pointee.head))
    let end = start &+ head.pointee.slotSize
    if layout.pointee.elements == 0 {
      scanValue(start, layout)
      return
    }
    if address == start {
      var piece = start &+ Self.piece
      while piece < end {
        push(MarkBuffer.marked(piece))
        piece &+= Self.piece
      }
    }
    scanArray(start, layout, from: address, to: min(address &+ Self.piece, end))
  }

  @inline(__always)
  private mutating func scanValue(_ address: UInt, _ layout: HeapLayoutRef) {
    let links = layout.pointee.links
    var index = layout.pointee.linkCount
    while index > 0 {
      index &-= 1
      let place = UnsafeRawPointer(bitPattern: address &+ UInt(links[index].offset)).unsafelyUnwrapped
      let target = apus_load_link(place)
      if target != 0 { mark(target) }
    }
  }

  /// The elements of the array at `array` that begin in [start, end).
  @inline(never)
  private mutating func scanArray(_ array: UInt, _ layout: HeapLayoutRef, from start: UInt, to end: UInt) {
    arrayBytes &+= Int(bitPattern: end &- start)
    let count = UnsafePointer<UInt>(bitPattern: array).unsafelyUnwrapped.pointee
    let stride = layout.pointee.stride
    let first = array &+ layout.pointee.elements
    let from = start <= first ? 0 : (start &- first &+ stride &- 1) / stride
    let to = end <= first ? 0 : min(count, (end &- first &+ stride &- 1) / stride)
    var index = to
    while index > from {
      index &-= 1
      scanValue(first &+ index &* stride, layout)
    }
  }

  /// Marks the object that `word` is an address in, if it is one (Go's `scanConservative`).
  @inline(__always)
  mutating func markConservatively(_ word: UInt) {
    if word &- base < used { markPossible(word) }
  }

  @inline(never)
  private mutating func markPossible(_ word: UInt) {
    var block = arena.block(at: arena.index(of: word))
    let address: UInt
    switch block.pointee.state {
    case .free:
      return
    case .slots:
      let offset = (word &- base) & UInt(HeapGeometry.blockSize - 1)
      if offset >= UInt(block.pointee.usable) { return }
      let slot = UInt((UInt64(offset) &* UInt64(block.pointee.reciprocal)) >> 32)
      address = (word &- offset) &+ slot &* block.pointee.slotSize
    case .large, .tail:
      let head = Int(block.pointee.head)
      block = arena.block(at: head)
      address = arena.address(ofBlock: head)
      if word &- address >= block.pointee.slotSize { return }
    }
    let allocation = arena.allocation(of: address)
    if allocation.word.pointee & allocation.bit == 0 { return }
    if block.pointee.needsCleanup {
      let death = arena.death(of: address)
      if apus_bits_load(death.word) & death.bit != 0 { return }
    }
    mark(address)
  }

  /// The words from `start` up to `end`, which are aligned.
  mutating func markConservatively(from start: UInt, to end: UInt) {
    var place = start
    while place < end {
      markConservatively(UnsafePointer<UInt>(bitPattern: place).unsafelyUnwrapped.pointee)
      place &+= 8
    }
  }
}
