import ApusRuntime
import CApus

/// What a connection has received and nobody has read yet, beyond what the kernel holds: small reads go through it.
///
/// A read of a few bytes asks the kernel for as many as there is room for here. When the answer is less than that, which
/// it is for small messages, the connection is known to be empty, and the next read waits without asking
/// (`PollDescriptor.readsNothing`); a read of exactly what has come would leave that open. And the head and the body of a
/// message, read one after the other, cost one system call. The copy of at most `capacity` bytes costs a few nanoseconds.
///
/// Whoever is alone in reading uses it.
struct ReadAhead: ~Copyable {
  private var bytes = InlineArray<256, UInt8>(repeating: 0)
  private var start = 0
  private var end = 0

  static var capacity: Int { 256 }
  /// Reads of fewer bytes go through the buffer.
  static var limit: Int { 128 }

  var isEmpty: Bool { start == end }

  /// Moves bytes to `buffer`, as many as fit; how many.
  @inline(__always)
  mutating func take(_ buffer: UnsafeMutableRawBufferPointer) -> Int64 {
    let count = min(end - start, buffer.count)
    let from = start
    withUnsafeBytes(of: &bytes) {
      buffer.baseAddress.unsafelyUnwrapped.copyMemory(
        from: $0.baseAddress.unsafelyUnwrapped + from, byteCount: count)
    }
    start += count
    return Int64(count)
  }

  /// Fills the buffer, which is empty, by one call of `receive`, and returns what that did.
  @inline(__always)
  mutating func fill(_ receive: (UnsafeMutableRawPointer?, Int) -> Int64) -> Int64 {
    let result = withUnsafeMutableBytes(of: &bytes) { receive($0.baseAddress, Self.capacity) }
    start = 0
    end = Int(max(result, 0))
    return result
  }
}

extension Descriptor {
  /// What a socket has received, small reads by way of `ahead`.
  @inline(__always)
  func receive(_ buffer: UnsafeMutableRawBufferPointer, _ ahead: inout ReadAhead) -> Int64 {
    readExclusively(buffer.count) {
      if ahead.isEmpty {
        if buffer.count >= ReadAhead.limit {
          return readLocked(buffer.count) { apus_receive($0, buffer.baseAddress, buffer.count) }
        }
        let result = readLocked(ReadAhead.capacity) { number in
          ahead.fill { apus_receive(number, $0, $1) }
        }
        if result <= 0 { return result }
      } else if let failure = failure(.read) {
        return failure
      }
      return ahead.take(buffer)
    }
  }

  /// The same into several buffers; what has been read ahead comes alone.
  func receive(scattering buffers: [UnsafeMutableRawBufferPointer], _ ahead: inout ReadAhead) -> Int64 {
    withVectors(for: buffers) { vectors, total in
      readExclusively(total) {
        if ahead.isEmpty {
          return readLocked(total) { apus_receive_vectors($0, vectors.baseAddress, Int32(vectors.count)) }
        }
        if let failure = failure(.read) { return failure }
        return vectors.reduce(0) { $0 + ahead.take(UnsafeMutableRawBufferPointer(start: $1.base, count: $1.count)) }
      }
    }
  }
}
