import CApus

/// One line for standard error, put together in a fixed buffer and written in one piece. For what boot has to say
/// before `String` and the scheduler may be used.
package struct BootMessage: ~Copyable {
  /// The longest line, its newline included; what is longer is cut.
  package static var capacity: Int { 512 }
  /// As much of a value that the user gave as a message repeats.
  package static var longestValue: Int { 80 }

  private let buffer: UnsafeMutableRawBufferPointer
  private var used = 0

  private init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

  /// Lets `compose` write a line beginning with `apus: ` and hands it, newline included, to `sink`.
  package static func compose(_ compose: (inout BootMessage) -> Void, to sink: (ByteText) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 1) { buffer in
      var message = BootMessage(buffer)
      message.add("apus: ")
      compose(&message)
      buffer[message.used] = 0x0A
      sink(ByteText(UnsafeRawBufferPointer(rebasing: buffer[...message.used])))
    }
  }

  /// Writes the line to standard error. A standard error that is closed or full loses it: there is nowhere else to
  /// complain.
  package static func report(_ compose: (inout BootMessage) -> Void) {
    Self.compose(compose, to: standardError)
  }

  /// The sink of `report`.
  package static func standardError(_ line: ByteText) { _ = apus_write(2, line.start, line.count) }

  package mutating func add(_ text: StaticString) {
    let text = ByteText(text)
    var index = 0
    while index < text.count {
      add(byte: text[index])
      index += 1
    }
  }

  /// Adds what a user gave: control characters as `?`, so that a value cannot steer the terminal, and not more than
  /// `longestValue` bytes of it.
  package mutating func add(value: ByteText) {
    let shown = value.prefix(Self.longestValue)
    var index = 0
    while index < shown.count {
      let byte = shown[index]
      add(byte: byte < 0x20 || byte == 0x7F ? 0x3F : byte)
      index += 1
    }
    if shown.count < value.count { add("...") }
  }

  /// Adds `number` in decimal.
  package mutating func add(_ number: UInt64) {
    var divisor: UInt64 = 1
    while number / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      add(byte: 0x30 + UInt8(number / divisor % 10))
      divisor /= 10
    }
  }

  private mutating func add(byte: UInt8) {
    if used < buffer.count - 1 {  // the last one is the newline's
      buffer[used] = byte
      used += 1
    }
  }
}
