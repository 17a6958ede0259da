import ApusInspection

/// Writes traces for the reader, event by event.
struct TraceBytes {
  private(set) var bytes: [UInt8] = Array("go 1.25 trace\0\0\0".utf8)

  static func number(_ number: UInt64) -> [UInt8] {
    var (rest, bytes): (UInt64, [UInt8]) = (number, [])
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  /// An event: its kind, how long after the one before, and its arguments.
  static func event(_ kind: TraceEvent.Kind, after time: UInt64 = 1, _ arguments: UInt64...) -> [UInt8] {
    [kind.rawValue] + number(time) + arguments.flatMap(number)
  }

  mutating func batch(_ generation: UInt64 = 1, thread: UInt64, at time: UInt64, _ events: [UInt8]...) {
    let contents = events.flatMap { $0 }
    bytes += [1] + Self.number(generation) + Self.number(thread) + Self.number(time)
    bytes += Self.number(UInt64(contents.count)) + contents
  }

  /// The unit of time, a nanosecond unless told otherwise.
  mutating func clock(_ generation: UInt64 = 1, frequency: UInt64 = 1_000_000_000) {
    batch(generation, thread: .max, at: 0, [50, 8] + Self.number(frequency) + [51, 0, 0, 0, 0])
  }

  /// Texts with the numbers 1, 2, …, and a stack of one frame, of the function with the same number, for each.
  mutating func texts(_ generation: UInt64, _ texts: String...) {
    var (stacks, strings): ([UInt8], [UInt8]) = ([2], [4])
    for (index, text) in texts.enumerated() {
      let number = Self.number(UInt64(index + 1))
      stacks += [3] + number + [1, 0] + number + [0, 7]
      strings += [5] + number + Self.number(UInt64(text.utf8.count)) + Array(text.utf8)
    }
    batch(generation, thread: .max, at: 0, stacks)
    batch(generation, thread: .max, at: 0, strings)
  }
}
