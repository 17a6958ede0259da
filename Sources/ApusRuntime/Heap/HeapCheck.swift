import CApus
import Synchronization

/// `GODEBUG=heapcheck=1`: looks at the whole heap at the beginning and the end of each cycle's marking, while the world
/// stands still and no cache has a block. What is not as it must be ends the process.
///
/// - Always: the bitmaps have bits only where slots begin; the counts are those of the bitmaps; every link of every object
///   is nil, or the address of an object of the type that the link is of; as many bytes of dead objects wait for their
///   destruction as are counted.
/// - Before marking: every block is swept, and nothing is marked.
/// - After marking: what is marked is allocated, and whatever a marked object links to is marked. (With the barrier or the
///   second look at the stacks taken out, this is what fails.)
enum HeapCheck {
  enum Phase {
    case beforeMarking
    case afterMarking
  }

  /// Blocks and objects looked at, for tests that want to see that something was.
  package struct Extent {
    package var blocks = 0
    package var objects = 0
  }

  static func run(_ phase: Phase, on m: MRef) {
    if sched.pointee.knobs.heapcheck != 0 { _ = check(phase) }
  }

  static func check(_ phase: Phase) -> Extent {
    var extent = Extent()
    var pending = 0
    let arena = heap.pointee.arena
    for index in 0..<heap.pointee.pages.frontierCount.load(ordering: .relaxed) {
      let block = arena.block(at: index)
      if block.pointee.state == .free || block.pointee.state == .tail { continue }
      extent.blocks += 1
      checkBlock(index, block, phase)
      let words = block.pointee.state == .large ? 1 : HeapGeometry.wordsPerBlock
      let (allocated, marks) = (arena.allocatedWords(ofBlock: index), arena.marks(ofBlock: index))
      let mask = block.pointee.layout.unsafelyUnwrapped.pointee.slotMask
      let dead = arena.deadWords(ofBlock: index)
      for word in 0..<words {
        var bits = phase == .afterMarking ? apus_marks_bits(marks + 64 * word) & mask[word] : allocated[word]
        if block.pointee.needsCleanup {
          bits &= ~dead[word]
          pending += dead[word].nonzeroBitCount * Int(block.pointee.slotSize)
        }
        while bits != 0 {
          let bit = word * 64 + bits.trailingZeroBitCount
          bits &= bits - 1
          extent.objects += 1
          checkLinks(of: arena.address(ofBlock: index) + UInt(bit) << UInt(HeapGeometry.granuleShift), block, phase)
        }
      }
    }
    // Whoever changes one of these two does so in a section.
    if pending != heap.pointee.cleanup.pace.pendingBytes.load(ordering: .relaxed) {
      FatalReport.heapIsBroken("a wrong count of bytes that wait for destruction", arena.base, nil)
    }
    return extent
  }

  private static func checkBlock(_ index: Int, _ block: BlockRef, _ phase: Phase) {
    let arena = heap.pointee.arena
    guard let layout = block.pointee.layout else { fail("a block in use without a layout", index) }
    let generation = heap.pointee.sweeper.generation.load(ordering: .relaxed)
    if block.pointee.sweepGeneration.load(ordering: .relaxed) != generation { fail("an unswept block", index) }
    let words = block.pointee.state == .large ? 1 : HeapGeometry.wordsPerBlock
    var count = 0
    for word in 0..<words {
      let allocated = arena.allocatedWords(ofBlock: index)[word]
      let marks = apus_marks_bits(arena.marks(ofBlock: index) + 64 * word)
      let marked = marks & layout.pointee.slotMask[word]
      count += allocated.nonzeroBitCount
      if allocated & ~layout.pointee.slotMask[word] != 0 { fail("an allocation bit beside a slot", index) }
      if marked & ~allocated != 0 { fail("a mark on a free slot", index) }
      // Nor where no slot begins: one may with the block's next layout.
      if phase == .beforeMarking && marks != 0 { fail("a mark before marking", index) }
      if block.pointee.needsCleanup && arena.deadWords(ofBlock: index)[word] & ~allocated != 0 {
        fail("a dead object in a free slot", index)
      }
    }
    // Slots of a block with dead objects are counted when those are destroyed.
    if !block.pointee.isInCleanup && Int(layout.pointee.slotCount) - count != Int(block.pointee.freeSlots) {
      fail("a wrong count of free slots", index)
    }
  }

  private static func checkLinks(of address: UInt, _ block: BlockRef, _ phase: Phase) {
    let type = block.pointee.layout.unsafelyUnwrapped.pointee.type
    if type.pointee.linkCount == 0 { return }
    var place = address + type.pointee.elements
    let count = type.pointee.isArray ? UnsafePointer<Int>(bitPattern: address).unsafelyUnwrapped.pointee : 1
    for _ in 0..<count {
      for link in 0..<type.pointee.linkCount {
        let link = type.pointee.links[link]
        let target = apus_load_link(UnsafeRawPointer(bitPattern: place + UInt(link.offset)).unsafelyUnwrapped)
        if target != 0 { checkTarget(target, of: address, link.target, phase) }
      }
      place += type.pointee.size
    }
  }

  private static func checkTarget(_ target: UInt, of address: UInt, _ type: UInt, _ phase: Phase) {
    let arena = heap.pointee.arena
    let used = PageHeap.frontier
    if target &- arena.base >= used { failLink("that leads out of the heap", address, target) }
    let block = arena.block(at: arena.index(of: target))
    guard let layout = block.pointee.layout, block.pointee.state == .slots || block.pointee.state == .large else {
      failLink("into a free block", address, target)
    }
    let allocation = arena.allocation(of: target)
    if allocation.word.pointee & allocation.bit == 0 { failLink("to a free slot", address, target) }
    let death = arena.death(of: target)
    let isDead = block.pointee.needsCleanup && death.word.pointee & death.bit != 0
    if isDead { failLink("to a dead object", address, target) }
    if layout.pointee.type.pointee.key != type { failLink("to an object of another type", address, target) }
    if phase == .afterMarking && arena.mark(of: target).pointee == 0 {
      failLink("from a marked object to one that is not", address, target)
    }
  }

  private static func fail(_ what: StaticString, _ index: Int) -> Never {
    FatalReport.heapIsBroken(what, heap.pointee.arena.address(ofBlock: index), nil)
  }

  private static func failLink(_ what: StaticString, _ address: UInt, _ target: UInt) -> Never {
    FatalReport.heapIsBroken(what, address, target)
  }
}
