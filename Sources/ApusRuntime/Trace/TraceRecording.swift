/// The memory of a flight recorder: the last generations of a trace. Each can be the first of one, since it begins by saying
/// what everybody does.
struct TraceRecording {
  private struct Generation {
    var bytes: [UInt8] = []
    var end: Int64 = 0
  }

  /// Nanoseconds that the generations reach back at least, as long as they have no more bytes than `maxBytes`.
  let minAge: Int64
  let maxBytes: Int
  private var finished: [Generation] = []
  private var size = 0
  private var current = Generation()

  init(minAge: Int64, maxBytes: Int) {
    self.minAge = minAge
    self.maxBytes = maxBytes
  }

  /// Such parts that the oldest can go while the others are enough: after so many nanoseconds or bytes of events a
  /// generation is to end.
  var period: Int64 { min(max(minAge / 4, 10_000_000), 1_000_000_000) }
  var generationSize: Int { maxBytes / 4 }

  mutating func append(_ bytes: UnsafeRawBufferPointer) { current.bytes.append(contentsOf: bytes) }

  /// The generation is over at `now`: those that are not needed any more are forgotten.
  mutating func endGeneration(at now: Int64) {
    current.end = now
    size += current.bytes.count
    finished.append(current)
    current = Generation()
    while finished.count > 1, size > maxBytes || finished[0].end <= now - minAge {
      size -= finished.removeFirst().bytes.count
    }
  }

  /// The generations that are over, oldest first.
  var snapshot: [[UInt8]] { finished.map(\.bytes) }
}

/// What the thread of the session hands to whoever wants a recorder's memory.
final class TraceSnapshot {
  var generations: [[UInt8]] = []
}
