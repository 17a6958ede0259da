import CApus

/// Writes a report without locking or using libc's streams: what failed may have left any of them in disorder. To
/// standard error it allocates nothing either.
///
/// To standard error text is gathered up to the end of a line, so that each line is one system call and a report that is
/// cut short ends in a whole line; or, with `gathersLines`, until the caller flushes. What standard error refuses is lost.
struct ReportWriter: ~Copyable {
  /// Where the text goes.
  enum Destination {
    case standardError
    /// Appended to an array, which its owner keeps in place.
    case text(UnsafeMutablePointer<[UInt8]>)
    /// To memory of that size, and how much of it there is now; what has no room is lost.
    case memory(UnsafeMutableRawBufferPointer, used: UnsafeMutablePointer<Int>)
  }

  private static let capacity = 4096
  private var gathered = InlineArray<4096, UInt8>(repeating: 0)
  private var used = 0
  private let destination: Destination
  /// Lines stay until `flush`, or until there is no more room.
  var gathersLines = false

  init(to destination: Destination = .standardError) {
    self.destination = destination
  }

  /// Writes `byte`.
  mutating func write(byte: UInt8) {
    if used == Self.capacity { flush() }
    gathered[used] = byte
    used += 1
    if byte == UInt8(ascii: "\n") && !gathersLines { flush() }
  }

  /// Writes `bytes` as they are. They are one piece: only a newline at their end hands them to standard error.
  mutating func write(bytes: UnsafeRawBufferPointer) {
    guard let last = bytes.last else { return }
    var rest = bytes
    while rest.count > 0 {
      if used == Self.capacity { flush() }
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.capacity - used))
      let start = used
      withUnsafeMutableBytes(of: &gathered) {
        UnsafeMutableRawBufferPointer(rebasing: $0[start...]).copyMemory(from: piece)
      }
      used += piece.count
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
    }
    if last == UInt8(ascii: "\n") && !gathersLines { flush() }
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
    var length = 0
    while text[length] != 0 { length += 1 }
    write(bytes: UnsafeRawBufferPointer(start: text, count: length))
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

  /// Hands the gathered text on.
  mutating func flush() {
    let count = used
    let destination = destination
    withUnsafeBytes(of: &gathered) { bytes in
      switch destination {
      case .standardError: Self.writeToStandardError(UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
      case .text(let text): text.pointee.append(contentsOf: bytes.prefix(count))
      case .memory(let memory, let used):
        let piece = min(count, memory.count - used.pointee)
        if piece <= 0 { return }
        UnsafeMutableRawBufferPointer(rebasing: memory[used.pointee...])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(piece)))
        used.pointee += piece
      }
    }
    used = 0
  }

  /// Writes all of `bytes`, or as much as standard error takes.
  static func writeToStandardError(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    var written = 0
    while written < bytes.count {
      let result = apus_write(2, start + written, bytes.count - written)
      // Interrupted is the one failure that passes; a full or closed standard error does not.
      if result == -4 { continue }
      if result <= 0 { break }
      written += Int(result)
    }
  }
}
