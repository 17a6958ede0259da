import Synchronization

/// A distribution of durations (Go's `timeHistogram`), with its buckets: below zero; below 2⁸ ns four of the same width; then
/// four for each power of two up to 2⁴⁷ ns, a day and a half; and what is longer. So a bucket is as wide as a fourth of the
/// power of two that it belongs to.
///
/// One thread at a time records. Others read whenever they like: each count is right for its own moment.
package struct TimeHistogram: ~Copyable, @unchecked Sendable {
  // Unchecked: the counts are atomic.
  private let counts: UnsafeMutablePointer<Atomic<UInt64>>

  /// The bits of a duration in the first power of two that has buckets of its own, and one more than in the last.
  private static var firstBits: Int { 9 }
  private static var endBits: Int { 48 }
  private static var partBits: Int { 2 }
  private static var parts: Int { 1 << partBits }

  /// How many buckets there are.
  package static var count: Int { (endBits - firstBits + 1) * parts + 2 }

  /// How much memory the counts take.
  static var size: Int { MemoryLayout<Atomic<UInt64>>.stride * count }

  /// The counts lie in `memory`: `size` zeroed bytes that stay.
  init(in memory: UnsafeMutableRawPointer) {
    counts = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Self.count)
  }

  /// The bucket of a duration in nanoseconds.
  package static func bucket(of duration: Int64) -> Int {
    if duration < 0 { return 0 }
    let bits = Int64.bitWidth - duration.leadingZeroBitCount
    if bits >= endBits { return count - 1 }
    let power = max(bits - firstBits + 1, 0)
    // The highest bit, which below the first power is zero, and the two that follow it.
    let part = Int(truncatingIfNeeded: duration >> Int64(max(bits, firstBits) - 1 - partBits)) & (parts - 1)
    return 1 + power * parts + part
  }

  /// The shortest duration of bucket `index`, from 1 on, in nanoseconds.
  package static func start(of index: Int) -> Int64 {
    let (power, part) = ((index - 1) / parts, Int64((index - 1) % parts))
    if power == 0 { return part << Int64(firstBits - 1 - partBits) }
    let bits = Int64(firstBits + power - 1)
    return 1 << (bits - 1) | part << (bits - 1 - Int64(partBits))
  }

  /// The shortest duration that is above those of bucket `index`, in nanoseconds; `Int64.max` for the last bucket.
  static func end(of index: Int) -> Int64 { index < count - 1 ? start(of: index + 1) : .max }

  /// Counts a duration in nanoseconds. The caller is the only one who does so at this moment.
  @inline(__always)
  func record(_ duration: Int64) {
    let bucket = Self.bucket(of: duration)
    counts[bucket].store(counts[bucket].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  /// Adds the counts to those in `sums`.
  func add(to sums: inout [UInt64]) {
    for index in 0..<Self.count { sums[index] &+= counts[index].load(ordering: .relaxed) }
  }
}
