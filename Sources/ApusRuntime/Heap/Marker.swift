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
  /// What this `drain` has done besides, in bytes' worth: it may have found nothing to mark, and takes its time. 8 for each
  /// entry of a buffer that was looked at, and for each place up to the last link of an object that was marked before and
  /// is scanned; an array's bytes; a slab of roots.
  private var otherWork = 0

  /// How much of a large array is scanned in one piece: others can take the next ones, and a section stays short.
  static var piece: UInt { 32 << 10 }

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
    if buffer.pointee.count == MarkBuffer.capacity { makeRoom() }
    buffer.entries[buffer.pointee.count] = entry
    buffer.pointee.count &+= 1
  }

  /// Makes room for the links of a whole batch. Most of what is in a full buffer may be links to objects that are marked:
  /// those go first. If there is still much, only the newest entries are kept, and everybody gets the others: all of them
  /// objects that are marked. So the memory that buffers take is bounded by the objects that there are, and not
  /// by the links.
  @inline(never)
  private mutating func makeRoom() {
    settle()
    if buffer.pointee.count > Self.halfEnough { giveAway(keeping: Self.halfEnough / 2) }
  }

  /// Marks what the buffer's links lead to. What has to be scanned stays, as marked objects; the rest is dropped.
  private mutating func settle() {
    let arena = self.arena
    let (entries, count) = (buffer.entries, buffer.pointee.count)
    var (index, kept, bytes) = (0, 0, 0)
    while index < count {
      let (entry, ahead) = (entries[index], index &+ Self.settlesAhead)
      index &+= 1
      if ahead < count { apus_prefetch_mark(arena.mark(of: entries[ahead])) }
      if !MarkBuffer.isMarked(entry) {
        guard let block = Self.setMark(of: entry, in: arena) else { continue }
        bytes &+= Int(bitPattern: block.pointee.slotSize)
        // A link leads to where an object begins, so this is the record that tells, of a large object, too.
        if block.pointee.isNoScan { continue }
      }
      entries[kept] = MarkBuffer.marked(entry)
      kept &+= 1
    }
    buffer.pointee.count = kept
    markedBytes &+= bytes
    otherWork &+= count &* 8
  }

  /// How many entries ahead of the one that it looks at `settle` has marks fetched.
  private static var settlesAhead: Int { 16 }

  /// Scans grey objects until `bytes` have been marked (and scanned, nearly), or it has done as much other work, or none is
  /// left; false when none is left.
  mutating func drain(bytes: Int) -> Bool {
    let goal = markedBytes &+ bytes
    otherWork = 0
    var window = MarkWindow()
    var hasMore = true
    while hasMore && markedBytes &+ otherWork < goal {
      scanSome(&window, until: goal)
      if buffer.pointee.count == 0 && window.isEmpty {
        hasMore = findMore()
      } else if buffer.pointee.count > Self.fullEnough {
        makeRoom()
      } else if buffer.pointee.count > 8 && !MarkWork.hasWork {
        share()
      }
    }
    // What is in the window is as grey as what is in the buffer, and only there others find it.
    while !window.isEmpty { push(window.takeLast()) }
    return hasMore
  }

  /// With so many entries there is still room for all links of a batch of objects of which the blocks' records tell all.
  private static var fullEnough: Int { MarkBuffer.capacity - Int(bitPattern: MarkWindow.batch) * UInt32.bitWidth }
  /// What `makeRoom` leaves at most, so that as many have to come before it looks through the buffer again. If there are
  /// more, it gives half of them away at least: a buffer of a few would still be 8 KiB.
  private static var halfEnough: Int { fullEnough / 2 }

  /// Scans what is in the buffer and in the window, batch by batch, until `goal` is reached, both are empty, the buffer is
  /// full enough, or it is time to see whether others have work.
  ///
  /// All that the loops write is in variables of their own: for all that the compiler knows, a store into the buffer might
  /// change what is in `self`, and it would be read again for each object.
  @inline(__always)
  private mutating func scanSome(_ window: inout MarkWindow, until goal: Int) {
    let arena = self.arena
    var (entries, limit) = (buffer.entries, goal &- markedBytes &- otherWork)
    var (count, bytes, other, rounds) = (buffer.pointee.count, 0, 0, 8)
    while bytes &+ other < limit && rounds > 0 && count <= Self.fullEnough {
      rounds &-= 1
      let ready = window.turn()
      other &+= Int(bitPattern: ready &* 8)
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
        } else {
          // Its bytes were counted when it was marked. What takes time now is all places up to its last link.
          other &+= (32 &- links.trailingZeroBitCount) &* 8
        }
        if links == 0 {
          if block.pointee.isNoScan { continue }
          buffer.pointee.count = count
          scan(address, block)
          if buffer.pointee.count > Self.fullEnough { makeRoom() }
          entries = buffer.entries
          count = buffer.pointee.count
          limit = goal &- markedBytes &- otherWork
          if bytes &+ other < limit { continue }
          // It was much. The rest of the batch goes back; there is room for it.
          while index > 0 {
            index &-= 1
            entries[count] = window.ready(at: index)
            count &+= 1
          }
          break
        }
        repeat {
          let index = 31 &- links.trailingZeroBitCount
          links &= links &- 1
          let number = Self.number(at: address &+ UInt(truncatingIfNeeded: index) &* 4)
          entries[count] = linked(number)
          if number != 0 { count &+= 1 }
        } while links != 0
      }
      assert(count <= MarkBuffer.capacity, "a batch's links do not fit into the buffer")
      if count == 0 && window.isEmpty { break }
    }
    buffer.pointee.count = count
    markedBytes &+= bytes
    otherWork &+= other
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
        otherWork &+= RootTable.slabBytes
        return true
      }
      slab = result.original
    }
    return false
  }

  /// Gives half of the buffer to others, who have nothing (Go's `gcWork.balance`).
  @inline(never)
  private mutating func share() { giveAway(keeping: (buffer.pointee.count + 1) / 2) }

  /// Leaves all but the newest `kept` entries, of which there are more, to everybody.
  private mutating func giveAway(keeping kept: Int) {
    let newest = MarkWork.takeEmpty(on: m)
    let given = buffer.pointee.count - kept
    for index in 0..<kept { newest.entries[index] = buffer.entries[given + index] }
    newest.pointee.count = kept
    buffer.pointee.count = given
    MarkWork.put(buffer, on: m)
    buffer = newest
  }

  /// Marks what the object at `address`, or the piece of an array there, links to. The block's record does not tell where
  /// its links are.
  @inline(never)
  private mutating func scan(_ address: UInt, _ block: BlockRef) {
    if block.pointee.state != .slots {
      scanLarge(address, arena.block(at: Int(block.pointee.head)))
      return
    }
    let layout = block.pointee.layout.unsafelyUnwrapped
    if layout.pointee.elements == 0 {
      scanWide(address, layout)
    } else {
      scanArray(address, layout, from: address, to: address &+ block.pointee.slotSize)
    }
  }

  /// A large object, or a piece of a large array: then `address` lies where a piece begins. Whoever scans the first one
  /// queues the others.
  @inline(never)
  private mutating func scanLarge(_ address: UInt, _ head: BlockRef) {
    let layout = head.pointee.layout.unsafelyUnwrapped
    let start = arena.address(ofBlock: Int(head.pointee.head))
    let end = start &+ head.pointee.slotSize
    if layout.pointee.elements == 0 {
      scanWide(start, layout)
      return
    }
    if address == start {
      var piece = start &+ Self.piece
      while piece < end {
        push(MarkBuffer.marked(piece))
        otherWork &+= 8
        piece &+= Self.piece
      }
    }
    scanArray(start, layout, from: address, to: min(address &+ Self.piece, end))
  }

  /// A value with links behind the first 128 bytes.
  @inline(never)
  private mutating func scanWide(_ address: UInt, _ layout: HeapLayoutRef) {
    otherWork &+= layout.pointee.linkCount &* 8
    scanValue(address, layout)
  }

  @inline(__always)
  private mutating func scanValue(_ address: UInt, _ layout: HeapLayoutRef) {
    let links = layout.pointee.links
    var index = layout.pointee.linkCount
    while index > 0 {
      index &-= 1
      let number = Self.number(at: address &+ UInt(links[index].offset))
      if number != 0 { mark(linked(number)) }
    }
  }

  private static var elementsAhead: UInt { 8 }

  /// The elements of the array at `array`, which have links, that begin in [start, end).
  @inline(never)
  private mutating func scanArray(_ array: UInt, _ layout: HeapLayoutRef, from start: UInt, to end: UInt) {
    otherWork &+= Int(bitPattern: end &- start)
    let count = UnsafePointer<UInt>(bitPattern: array).unsafelyUnwrapped.pointee
    let stride = layout.pointee.stride
    let first = array &+ layout.pointee.elements
    let from = start <= first ? 0 : (start &- first &+ stride &- 1) / stride
    let to = end <= first ? 0 : min(count, (end &- first &+ stride &- 1) / stride)
    // While elements are looked at, the marks of what others before them link to first are fetched.
    let ahead = Self.elementsAhead &* stride &- UInt(layout.pointee.links[0].offset)
    var index = to
    while index > from {
      index &-= 1
      let element = first &+ index &* stride
      if index >= from &+ Self.elementsAhead {
        let number = Self.number(at: element &- ahead)
        if number != 0 { apus_prefetch_mark(arena.mark(of: linked(number))) }
      }
      scanValue(element, layout)
    }
  }

  /// What the link at `place` holds.
  @inline(__always)
  private static func number(at place: UInt) -> UInt32 {
    apus_link_number(UnsafeRawPointer(bitPattern: place).unsafelyUnwrapped)
  }

  /// The object that a link refers to which holds `number`.
  @inline(__always)
  private func linked(_ number: UInt32) -> UInt { base &+ UInt(number) &* UInt(APUS_LINK_UNIT) }

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

  /// The same words, for the numbers that links hold: registers of a thread that may have been stopped while it made the
  /// address of one (`apus_load_link`).
  mutating func markNumbers(from start: UInt, to end: UInt) {
    var place = start
    while place < end {
      let word = UnsafePointer<UInt>(bitPattern: place).unsafelyUnwrapped.pointee
      if word != 0 && word <= UInt(UInt32.max) { markConservatively(linked(UInt32(word))) }
      place &+= 8
    }
  }
}
