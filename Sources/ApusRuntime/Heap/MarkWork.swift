import Synchronization

/// A buffer of what is grey (Go's `workbuf`). 8 KiB.
///
/// An entry is a link that was found in an object: whoever takes it out looks at the mark, which the processor has fetched
/// by then, and scans the object if it sets it ("edge enqueuing" of Cher, Hosking and Vitek). So an object is in a marker's
/// buffer as often as the objects that it has scanned link to it, until the buffer is too full (`Marker.makeRoom`). Or, with
/// the lowest bit set, it is an object, or a piece of an array, that is marked and to be scanned, and there once (or once for
/// each of those who have marked it at the same moment): what the barrier, stacks, roots and arrays find, of which there may
/// be much that is marked, and what is left of the links in a buffer that was too full. It has links: what has none is not
/// put into a buffer once it is marked.
struct MarkBuffer {
  static var size: Int { 8192 }
  static var capacity: Int { 1022 }

  /// The entry of a marked object.
  @inline(__always)
  static func marked(_ address: UInt) -> UInt { address | 1 }
  @inline(__always)
  static func isMarked(_ entry: UInt) -> Bool { entry & 1 != 0 }
  /// The address of an entry's object.
  @inline(__always)
  static func address(_ entry: UInt) -> UInt { entry & ~1 }

  var next: MarkBufferRef?
  var count: Int
}

typealias MarkBufferRef = UnsafeMutablePointer<MarkBuffer>

extension UnsafeMutablePointer where Pointee == MarkBuffer {
  /// The buffer's entries, behind its head.
  @inline(__always)
  var entries: UnsafeMutablePointer<UInt> {
    (UnsafeMutableRawPointer(self) + MemoryLayout<MarkBuffer>.size).assumingMemoryBound(to: UInt.self)
  }
}

/// The grey objects that no P has, and spare buffers (Go's `work.full` and `work.empty`).
///
/// Every grey object is in a buffer here, in the buffer of a P's cache, or in the hands of a marker inside its section. A
/// marker that leaves its section puts everything back; so while the world stands still, all of them are here or in the
/// caches.
struct MarkWork: ~Copyable {
  let lock = RuntimeLock(.markWork)
  // Under lock.
  private var full: MarkBufferRef?
  private var empty: MarkBufferRef?
  private var arena = PersistentArena()
  /// Buffers that are full or were given up; read without the lock.
  let fullCount = Atomic<Int>(0)
  /// Markers inside their sections. Raised before one takes its first object, lowered when it has none.
  let active = Atomic<Int>(0)

  init() {}

  private static var work: UnsafeMutablePointer<MarkWork> {
    withUnsafeMutablePointer(to: &heap.pointee.markWork) { $0 }
  }

  /// Whether there is something for a marker to take here.
  static var hasWork: Bool { work.pointee.fullCount.load(ordering: .relaxed) != 0 }

  /// Whether there is nothing grey here or in a cache. The world stands still.
  static var isEmpty: Bool {
    var isEmpty = work.pointee.full == nil
    Processors.each { if let buffer = $0.pointee.heap.buffer, buffer.pointee.count != 0 { isEmpty = false } }
    return isEmpty
  }

  /// An empty buffer.
  static func takeEmpty(on m: MRef) -> MarkBufferRef {
    work.pointee.lock.lock(m)
    defer { work.pointee.lock.unlock(m) }
    if let buffer = work.pointee.empty {
      work.pointee.empty = buffer.pointee.next
      return buffer
    }
    let buffer = work.pointee.arena.allocate(bytes: MarkBuffer.size).bindMemory(to: MarkBuffer.self, capacity: 1)
    buffer.initialize(to: MarkBuffer(next: nil, count: 0))
    return buffer
  }

  /// A buffer with grey objects; nil when there is none.
  static func takeFull(on m: MRef) -> MarkBufferRef? {
    if !hasWork { return nil }
    work.pointee.lock.lock(m)
    defer { work.pointee.lock.unlock(m) }
    guard let buffer = work.pointee.full else { return nil }
    work.pointee.full = buffer.pointee.next
    work.pointee.fullCount.store(work.pointee.fullCount.load(ordering: .relaxed) - 1, ordering: .relaxed)
    return buffer
  }

  /// Takes `buffer` back, whatever is in it.
  static func put(_ buffer: MarkBufferRef, on m: MRef) {
    work.pointee.lock.lock(m)
    if buffer.pointee.count == 0 {
      buffer.pointee.next = work.pointee.empty
      work.pointee.empty = buffer
    } else {
      buffer.pointee.next = work.pointee.full
      work.pointee.full = buffer
      work.pointee.fullCount.store(work.pointee.fullCount.load(ordering: .relaxed) + 1, ordering: .relaxed)
    }
    work.pointee.lock.unlock(m)
  }
}
