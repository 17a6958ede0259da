/// A message in the wire format of protocol buffers, while it is written.
struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  private mutating func write(_ number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// A number. Zero is what a field has that is not there.
  mutating func add(_ field: UInt64, _ number: UInt64) {
    if number == 0 { return }
    write(field << 3)
    write(number)
  }

  mutating func add(_ field: UInt64, _ flag: Bool) { add(field, flag ? 1 : 0) }

  /// A string, also an empty one.
  mutating func add(_ field: UInt64, _ text: String) { add(field, Array(text.utf8)) }

  mutating func add(_ field: UInt64, _ message: ProtocolBuffer) { add(field, message.bytes) }

  /// Numbers, packed.
  mutating func add(_ field: UInt64, packed numbers: [UInt64]) {
    var list = ProtocolBuffer()
    for number in numbers { list.write(number) }
    add(field, list.bytes)
  }

  private mutating func add(_ field: UInt64, _ content: [UInt8]) {
    write(field << 3 | 2)
    write(UInt64(content.count))
    bytes += content
  }
}
