/// Which goroutines in a heap scope are on a thread, while the world stands still: a hash table of the threads that
/// `StackRoots` has scanned, chained by `M.scanLink`. Of those that are not parked it has to be asked of each whether its stack
/// was scanned with its thread; ten thousand may be ready, and a thousand threads stopped.
///
/// Made anew in each pause of the collector's, by whoever has stopped the world; nobody else reads it.
struct ScannedThreads: ~Copyable {
  private var buckets = InlineArray<256, MRef?>(repeating: nil)

  init() {}

  mutating func removeAll() {
    for index in 0..<buckets.count { buckets[index] = nil }
  }

  mutating func insert(_ m: MRef) {
    let bucket = Self.bucket(of: m.currentG)
    m.pointee.scanLink = buckets[bucket]
    buckets[bucket] = m
  }

  func contains(_ g: GRef) -> Bool {
    var next = buckets[Self.bucket(of: g)]
    while let m = next {
      if m.currentG == g { return true }
      next = m.pointee.scanLink
    }
    return false
  }

  private static func bucket(of g: GRef) -> Int {
    // The highest 8 bits, for 256 buckets.
    Int((UInt(bitPattern: g) &* 0x9e37_79b9_7f4a_7c15) >> 56)
  }
}
