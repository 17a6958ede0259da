/// The entries of a buffer whose turn is next, in two batches: while the objects of one are scanned, the processor fetches
/// those of the other, and their marks.
///
/// The buffer before it is a stack: what was found last is scanned first, and a fetch that began when it was found would
/// not be done by then. So an object is fetched with its batch, and looked at when those of the batch before are done,
/// which takes about as long as memory does. (A queue before the stack does so for each object: Cher, Hosking and
/// Vitek, "Software prefetching for mark-sweep garbage collection", 2004. Two batches spare its bookkeeping.)
struct MarkWindow {
  private var entries = InlineArray<32, UInt>(repeating: 0)
  /// Where the batch lies that is filled, 0 or `batch`; the other one is scanned.
  private var start: UInt = 0
  /// Entries in the batch that is filled.
  private var count: UInt = 0

  /// Entries of a batch.
  static var batch: UInt { 16 }

  /// Whether nothing is in the batch that is filled.
  @inline(__always)
  var isEmpty: Bool { count == 0 }
  @inline(__always)
  var isFull: Bool { count == Self.batch }

  /// Begins to fill the batch that was scanned, which must be done with; what was filled is ready: how many entries.
  @inline(__always)
  mutating func turn() -> UInt {
    start ^= Self.batch
    defer { count = 0 }
    return count
  }

  /// Puts an entry into the batch that is filled, which is not full.
  @inline(__always)
  mutating func put(_ entry: UInt) {
    entries[unchecked: Int(bitPattern: start &+ count)] = entry
    count &+= 1
  }

  /// An entry of the batch that is ready. They are looked at from the last to the first, which was on top of the stack: what
  /// it leads to is on top again.
  @inline(__always)
  func ready(at index: UInt) -> UInt { entries[unchecked: Int(bitPattern: (start ^ Self.batch) &+ index)] }

  /// Takes an entry back out of the batch that is filled, which is not empty.
  mutating func takeLast() -> UInt {
    count &-= 1
    return entries[unchecked: Int(bitPattern: start &+ count)]
  }
}
