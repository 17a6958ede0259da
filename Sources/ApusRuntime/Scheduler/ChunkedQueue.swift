/// The goroutines of the global queue: first in, first out. Under `Sched.lock`.
///
/// Their addresses lie in chunks instead of the goroutines being linked: what fills the queue and what takes from it are
/// mostly two processors, and one that takes a hundred along links fetches a hundred records one after another, with the
/// lock held. Chunks are reused, and never given back: 8 bytes for each goroutine that the queue has held at once.
struct ChunkedQueue: ~Copyable {
  /// Where the chunk after this one is, and then the goroutines' addresses.
  private typealias Chunk = UnsafeMutablePointer<UInt>

  /// How many goroutines a chunk of 512 bytes holds.
  static var chunkLimit: Int { 63 }

  /// The first one's oldest goroutine is the next to leave, at `begin`; the next to come goes to `end` in the last one.
  private var first: Chunk?
  private var last: Chunk?
  private var begin = 0
  private var end = 0
  private(set) var count = 0
  /// Chunks that hold nothing.
  private var free: Chunk?
  private var arena = PersistentArena()
  private(set) var chunksMade = 0

  init() {}

  mutating func append(_ g: GRef) {
    if last == nil || end == Self.chunkLimit { addChunk() }
    last.unsafelyUnwrapped[end + 1] = UInt(bitPattern: g)
    end += 1
    count += 1
  }

  mutating func removeFirst() -> GRef? {
    if count == 0 { return nil }
    let chunk = first.unsafelyUnwrapped
    let g = GRef(bitPattern: chunk[begin + 1]).unsafelyUnwrapped
    begin += 1
    count -= 1
    if count == 0 {
      assert(first == last, "an empty queue with more than one chunk")
      begin = 0
      end = 0
    } else if begin == Self.chunkLimit {
      first = Chunk(bitPattern: chunk[0])
      begin = 0
      chunk[0] = UInt(bitPattern: free)
      free = chunk
    }
    return g
  }

  @inline(never)
  private mutating func addChunk() {
    let chunk: Chunk
    if let unused = free {
      chunk = unused
      free = Chunk(bitPattern: unused[0])
    } else {
      chunksMade += 1
      let words = Self.chunkLimit + 1
      chunk = arena.allocate(bytes: 8 * words).bindMemory(to: UInt.self, capacity: words)
    }
    chunk[0] = 0
    if let last { last[0] = UInt(bitPattern: chunk) } else { first = chunk }
    last = chunk
    end = 0
  }
}
