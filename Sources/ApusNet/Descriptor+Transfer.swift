import ApusRuntime
import CApus

/// Reading from and writing to sockets and other descriptors. See `Descriptor` for what the functions return.
extension Descriptor {
  /// What a socket has received.
  func receive(_ buffer: UnsafeMutableRawBufferPointer) -> Int64 {
    read(buffer.count) { apus_receive($0, buffer.baseAddress, buffer.count) }
  }

  /// What there is to read in anything but a socket.
  func readFile(_ buffer: UnsafeMutableRawBufferPointer) -> Int64 {
    read(buffer.count) { apus_read($0, buffer.baseAddress, buffer.count) }
  }

  /// Sends all bytes by a socket.
  func send(_ bytes: UnsafeRawBufferPointer) -> Int64 {
    write(bytes.count) { apus_send($0, bytes.baseAddress.unsafelyUnwrapped + $1, bytes.count - $1) }
  }

  /// Writes all bytes to anything but a socket.
  func writeFile(_ bytes: UnsafeRawBufferPointer) -> Int64 {
    write(bytes.count) { apus_write_guarded($0, bytes.baseAddress.unsafelyUnwrapped + $1, bytes.count - $1) }
  }

  /// One read into several buffers, the first first.
  func read(
    scattering buffers: [UnsafeMutableRawBufferPointer],
    _ call: (Int32, UnsafePointer<apus_vector>?, Int32) -> Int64
  ) -> Int64 {
    withVectors(for: buffers) { vectors, total in
      read(total) { call($0, vectors.baseAddress, Int32(vectors.count)) }
    }
  }

  /// Calls `body` with what the kernel wants to know of the first of `buffers`, and how many bytes they take.
  func withVectors(
    for buffers: [UnsafeMutableRawBufferPointer], _ body: (UnsafeBufferPointer<apus_vector>, Int) -> Int64
  ) -> Int64 {
    withUnsafeTemporaryAllocation(of: apus_vector.self, capacity: Self.vectorLimit) { vectors in
      let count = VectorCursor().fill(vectors, buffers.count) {
        buffers[$0].baseAddress.map { UnsafeRawPointer($0) }
      } size: {
        buffers[$0].count
      }
      let filled = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(vectors)[..<count])
      return body(filled, filled.reduce(0) { $0 + $1.count })
    }
  }

  /// Writes all parts, in order, as if they were one.
  func write(
    gathering parts: [UnsafeRawBufferPointer], _ call: (Int32, UnsafePointer<apus_vector>?, Int32) -> Int64
  ) -> Int64 {
    withUnsafeTemporaryAllocation(of: apus_vector.self, capacity: Self.vectorLimit) { vectors in
      var cursor = VectorCursor()
      return write(parts.reduce(0) { $0 + $1.count }) { number, written in
        cursor.advance(to: written) { parts[$0].count }
        let count = cursor.fill(vectors, parts.count) {
          parts[$0].baseAddress
        } size: {
          parts[$0].count
        }
        return call(number, vectors.baseAddress, Int32(count))
      }
    }
  }

  /// So many parts go into one call: what more would save is little, and the vectors lie on the stack.
  private static var vectorLimit: Int { 64 }
}

/// Where in a list of buffers a transfer has come to.
private struct VectorCursor {
  private var index = 0
  /// Bytes of the buffer at `index` that are done, and all bytes before it.
  private var offset = 0
  private var done = 0

  /// Moves forward to where `total` bytes are done.
  mutating func advance(to total: Int, size: (Int) -> Int) {
    var rest = total - done
    done = total
    while rest > 0 {
      let left = size(index) - offset
      if rest < left {
        offset += rest
        return
      }
      rest -= left
      index += 1
      offset = 0
    }
  }

  /// Describes what is still to be done, without empty buffers, as far as there is room; how many vectors.
  func fill(
    _ vectors: UnsafeMutableBufferPointer<apus_vector>, _ buffers: Int, address: (Int) -> UnsafeRawPointer?,
    size: (Int) -> Int
  ) -> Int {
    var count = 0
    var (at, skip) = (index, offset)
    while at < buffers && count < vectors.count {
      if let base = address(at), size(at) > skip {
        vectors[count] = apus_vector(base: UnsafeMutableRawPointer(mutating: base) + skip, count: size(at) - skip)
        count += 1
      }
      at += 1
      skip = 0
    }
    return count
  }
}
