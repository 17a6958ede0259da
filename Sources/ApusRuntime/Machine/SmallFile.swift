import CApus

/// Reads the small files of /proc and /sys that start-up needs. Allocates nothing.
package enum SmallFile {
  /// Reads the file at `path` from its start into `buffer` and returns how many bytes it wrote there, or a negative
  /// errno when the file cannot be opened or read. What does not fit is left out: a result equal to `buffer.count`
  /// means that there may be more.
  package static func read(_ path: UnsafePointer<CChar>, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let descriptor = apus_open_read(path)
    if descriptor < 0 { return Int(descriptor) }
    let count = fill(buffer, from: descriptor)
    _ = apus_close(descriptor)
    return count
  }

  /// The same for a path that is known at compile time.
  package static func read(_ path: StaticString, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    path.utf8Start.withMemoryRebound(to: CChar.self, capacity: path.utf8CodeUnitCount + 1) { read($0, into: buffer) }
  }

  /// Reads until `buffer` is full or the file ends; the count, or a negative errno when nothing could be read.
  ///
  /// /proc hands out its longer files a page at a time, and a read may be interrupted: one read is not enough.
  package static func fill(_ buffer: UnsafeMutableRawBufferPointer, from descriptor: Int32) -> Int {
    var count = 0
    while count < buffer.count {
      let got = apus_read(descriptor, buffer.baseAddress! + count, buffer.count - count)
      if got == -4 { continue }  // EINTR
      if got < 0 { return count > 0 ? count : Int(got) }
      if got == 0 { break }
      count += Int(got)
    }
    return count
  }

  /// Reads once: enough for a file of one line. Spares the second read, the one that says "end of file".
  package static func readOnce(_ path: UnsafePointer<CChar>, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let descriptor = apus_open_read(path)
    if descriptor < 0 { return Int(descriptor) }
    var got = apus_read(descriptor, buffer.baseAddress, buffer.count)
    while got == -4 { got = apus_read(descriptor, buffer.baseAddress, buffer.count) }  // EINTR
    _ = apus_close(descriptor)
    return Int(got)
  }

  /// The same for a path that is known at compile time.
  package static func readOnce(_ path: StaticString, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    path.utf8Start.withMemoryRebound(to: CChar.self, capacity: path.utf8CodeUnitCount + 1) {
      readOnce($0, into: buffer)
    }
  }
}
