import CApus

/// What a profile has counted at a stack.
package struct StackSample {
  /// Inside instructions, innermost first.
  package var addresses: [UInt]
  package var count: UInt64
  package var amount: UInt64

  /// All of a table, perhaps while others count.
  static func all(of samples: OpaquePointer) -> [StackSample] {
    var all: [StackSample] = []
    for index in 0..<apus_samples_capacity() {
      var sums: (count: UInt64, amount: UInt64) = (0, 0)
      guard let frames = apus_samples_stack(samples, index, &sums.count, &sums.amount) else { continue }
      var copy = frames.pointee
      let addresses = UnsafeBufferPointer(start: apus_frames_pcs(&copy), count: copy.count)
      all.append(StackSample(addresses: Array(addresses), count: sums.count, amount: sums.amount))
    }
    return all
  }
}
