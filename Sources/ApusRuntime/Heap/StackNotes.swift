import CApus
import Synchronization

/// What the stacks of goroutines refer to that stop running while a cycle is about to end: noted by the thread that leaves
/// them.
///
/// Every stack that ran has to be looked at before a cycle ends, with the world at a standstill. Where a thousand
/// goroutines take turns, all have run by then, and each stack is memory that has left the caches: a microsecond or two. So
/// when a pause was too short for them, each P is told (`Attention.note`). From then on the thread that leaves a goroutine
/// looks at its stack at once, while it is at hand; the goroutine is stamped as scanned, and the next pause need not look
/// at it unless it has run again.
///
/// The words are only noted, and marked in the pause: while others run it cannot be told whether a word that lies there by
/// chance is an object's address, since the bits of slots that nobody uses change all the time.
struct StackNotes {
  private var words: UnsafeMutablePointer<UInt>?
  private(set) var count = 0

  private static var capacity: Int { 512 }
  /// Longer stacks are left to the pause: the thread may hold the lock under which the goroutine parks.
  private static var longest: UInt { 4096 }

  /// Every P notes from now on. The world stands still.
  static func begin() {
    Processors.each { p in
      if p.pointee.heap.notes.words == nil {
        p.pointee.heap.notes.words = PersistentMemory.map(bytes: capacity * MemoryLayout<UInt>.size)
          .bindMemory(to: UInt.self, capacity: capacity)
      }
      p.pointee.attention.bitwiseOr(Attention.note, ordering: .relaxed)
    }
  }

  /// And no longer. The world stands still.
  static func end() {
    Processors.each { p in
      p.pointee.attention.bitwiseAnd(~Attention.note, ordering: .relaxed)
      p.pointee.heap.notes.count = 0
    }
  }

  /// Notes what the stack of `g` refers to, which the caller's thread has just left and nobody else can find yet. If there
  /// is no room, the stack is scanned in the pause, as if it had not been looked at.
  @inline(never)
  static func take(from g: GRef, on m: MRef) {
    guard let p = m.pointee.p, let words = p.pointee.heap.notes.words else { return }
    let (start, end) = (g.pointee.head.sp, g.pointee.head.stack_hi)
    if end &- start > longest { return }
    let base = heap.pointee.arena.base
    let used = PageHeap.frontier
    var count = p.pointee.heap.notes.count
    var place = start
    while place < end {
      let word = UnsafePointer<UInt>(bitPattern: place).unsafelyUnwrapped.pointee
      place &+= 8
      if word &- base >= used { continue }
      if isMarked(word) { continue }
      if count == capacity { return }
      words[count] = word
      count += 1
    }
    p.pointee.heap.notes.count = count
    let stamp = G.scanStamp(cycle: heap.pointee.collector.cycle.load(ordering: .relaxed))
    let status = g.pointee.statusWord.load(ordering: .relaxed)
    g.pointee.statusWord.store(status & ~G.scanMask | stamp, ordering: .relaxed)
  }

  /// Whether `word` is an address in the first 8 bytes of a marked object. Its mark may also belong to a run of objects to
  /// come, which has one for all its bytes, and then `word` points into one of those, and all are marked.
  ///
  /// The record of a block that somebody has just taken may not be seen yet here. Then `word` is no reference: whoever has
  /// one to an object in the block got it from the one who has taken the block.
  @inline(__always)
  static func isMarked(_ word: UInt) -> Bool {
    let arena = heap.pointee.arena
    if apus_mark_load(arena.mark(of: word)) == 0 { return false }
    let granule = (word &- arena.base) >> UInt(HeapGeometry.granuleShift)
    guard let layout = arena.block(at: arena.index(of: word)).pointee.layout else { return false }
    let bit = Int(bitPattern: granule) & (64 * HeapGeometry.wordsPerBlock - 1)
    return layout.pointee.slotMask[bit / 64] & 1 << UInt64(bit % 64) != 0
  }

  /// Marks what was noted, until all is done or the clock shows `deadline`; false when it did. The world stands still.
  static func mark(with marker: inout Marker, until deadline: Int64) -> Bool {
    for index in 0..<Int(sched.pointee.processorsMade.load(ordering: .acquiring)) {
      let p = sched.pointee.allP[index].unsafelyUnwrapped
      while p.pointee.heap.notes.count > 0, let words = p.pointee.heap.notes.words {
        p.pointee.heap.notes.count -= 1
        let left = p.pointee.heap.notes.count
        marker.markConservatively(words[left])
        if left % 64 == 0 && Clock.nanotime() > deadline { return false }
      }
    }
    return true
  }
}
