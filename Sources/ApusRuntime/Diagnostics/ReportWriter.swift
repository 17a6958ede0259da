import CApus

/// Writes a fatal report to standard error without allocating, locking or using libc's streams: what failed may have
/// left any of them in disorder.
///
/// Text is gathered up to the end of a line, so that each line is one system call and a report that is cut short ends
/// in a whole line. What standard error refuses is lost.
struct ReportWriter: ~Copyable {
  private static let capacity = 512
  private var line = InlineArray<512, UInt8>(repeating: 0)
  private var used = 0

  /// Writes `byte`.
  mutating func write(byte: UInt8) {
    line[used] = byte
    used += 1
    if byte == UInt8(ascii: "\n") || used == Self.capacity { flush() }
  }

  /// Writes `bytes` as they are.
  mutating func write(bytes: UnsafeRawBufferPointer) {
    for byte in bytes { write(byte: byte) }
  }

  /// Writes `text` in UTF-8.
  mutating func write(_ text: StaticString) {
    if text.hasPointerRepresentation {
      write(bytes: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    } else {
      text.withUTF8Buffer { buffer in
        for byte in buffer { write(byte: byte) }
      }
    }
  }

  /// Writes the C string `text` up to its terminator.
  mutating func write(_ text: UnsafePointer<CChar>) {
    var next = text
    while next.pointee != 0 {
      write(byte: UInt8(bitPattern: next.pointee))
      next += 1
    }
  }

  /// Writes `number` in decimal.
  mutating func write(_ number: UInt64) {
    write(number, radix: 10)
  }

  /// Writes `number` in hexadecimal after `0x`.
  mutating func write(hex number: UInt) {
    write("0x")
    write(UInt64(number), radix: 16)
  }

  private mutating func write(_ number: UInt64, radix: UInt64) {
    var place: UInt64 = 1
    while number / place >= radix { place *= radix }
    while place > 0 {
      let digit = UInt8(truncatingIfNeeded: number / place % radix)
      write(byte: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      place /= radix
    }
  }

  /// Hands the gathered text to standard error.
  mutating func flush() {
    withUnsafeBytes(of: &line) { bytes in
      guard let start = bytes.baseAddress else { return }
      var written = 0
      while written < used {
        let result = apus_write(2, start + written, used - written)
        // Interrupted is the one failure that passes; a full or closed standard error does not.
        if result == -4 { continue }
        if result <= 0 { break }
        written += Int(result)
      }
    }
    used = 0
  }
}
