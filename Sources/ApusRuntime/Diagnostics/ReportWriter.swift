import CApus

/// Writes a report without locking or using libc's streams: what failed may have left any of them in disorder. To
/// standard error it allocates nothing either, not even in a debug build: there generic functions of the standard library
/// allocate, so none is called.
///
/// To standard error text is gathered up to the end of a line, so that each line is one system call and a report that is
/// cut short ends in a whole line; or, with `gathersLines`, until the caller flushes. What standard error refuses is lost.
struct ReportWriter: ~Copyable {
  /// Where the text goes.
  enum Destination {
    case standardError
    /// Appended to an array, which its owner keeps in place.
    case text(UnsafeMutablePointer<[UInt8]>)
    /// In messages to the command at the other end of a socket (`AttachSession`). What it does not take is lost.
    case attached(Int32)
  }

  private static let capacity = 4096
  /// Nil when there is no memory: then every byte is a system call.
  private let gathered: UnsafeMutableRawPointer?
  private var used = 0
  private let destination: Destination
  /// Lines stay until `flush`, or until there is no more room.
  var gathersLines = false

  init(to destination: Destination = .standardError) {
    self.destination = destination
    gathered = apus_mmap(Self.capacity)
  }

  /// Flushes, and gives the memory back.
  mutating func close() {
    flush()
    if let gathered { _ = apus_munmap(gathered, Self.capacity) }
  }

  /// Writes `byte`.
  mutating func write(byte: UInt8) {
    guard let gathered else {
      var byte = byte
      put(&byte, 1)
      return
    }
    if used == Self.capacity { flush() }
    gathered.storeBytes(of: byte, toByteOffset: used, as: UInt8.self)
    used += 1
    if byte == UInt8(ascii: "\n") && !gathersLines { flush() }
  }

  /// Writes `bytes` as they are. They are one piece: only a newline at their end hands them to standard error.
  mutating func write(bytes: UnsafeRawPointer, count: Int) {
    if count == 0 { return }
    guard let gathered else {
      put(bytes, count)
      return
    }
    var written = 0
    while written < count {
      if used == Self.capacity { flush() }
      let piece = count - written < Self.capacity - used ? count - written : Self.capacity - used
      (gathered + used).copyMemory(from: bytes + written, byteCount: piece)
      used += piece
      written += piece
    }
    if bytes.load(fromByteOffset: count - 1, as: UInt8.self) == UInt8(ascii: "\n") && !gathersLines { flush() }
  }

  /// Writes `text` in UTF-8. Only what is stored as a pointer, as every string literal is.
  mutating func write(_ text: StaticString) {
    write(bytes: UnsafeRawPointer(text.utf8Start), count: text.utf8CodeUnitCount)
  }

  /// Writes `text` up to its terminator. With a label: a literal would else become a `String` that is converted to this.
  mutating func write(cString text: UnsafePointer<CChar>) {
    var length = 0
    while text[length] != 0 { length += 1 }
    write(bytes: UnsafeRawPointer(text), count: length)
  }

  /// Writes `number` in decimal.
  mutating func write(_ number: UInt64) {
    write(number, radix: 10)
  }

  /// Writes `number` in decimal, after a minus sign where it is below zero.
  mutating func write(_ number: Int64) {
    if number < 0 { write("-") }
    write(number.magnitude)
  }

  /// Writes `number` in hexadecimal after `0x`.
  mutating func write(hex number: UInt) {
    write("0x")
    write(UInt64(number), radix: 16)
  }

  private mutating func write(_ number: UInt64, radix: UInt64) {
    Digits.each(of: number, radix: radix) { write(byte: $0) }
  }

  /// Hands the gathered text on.
  mutating func flush() {
    if let gathered, used > 0 { put(gathered, used) }
    used = 0
  }

  /// Writes `count` bytes at `start`, or as many as standard error takes.
  static func writeToStandardError(_ start: UnsafeRawPointer, _ count: Int) {
    var written = 0
    while written < count {
      let result = apus_write(2, start + written, count - written)
      // Interrupted is the one failure that passes; a full or closed standard error does not.
      if result == -4 { continue }
      if result <= 0 { break }
      written += Int(result)
    }
  }

  private func put(_ start: UnsafeRawPointer, _ count: Int) {
    switch destination {
    case .standardError:
      Self.writeToStandardError(start, count)
    case .text(let text):
      text.pointee.append(contentsOf: UnsafeRawBufferPointer(start: start, count: count))
    case .attached(let connection):
      _ = apus_attach_send(connection, CChar(APUS_ATTACH_TEXT), start, count)
    }
  }
}
