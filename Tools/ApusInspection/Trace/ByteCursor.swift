/// Part of a file's bytes, which are taken from its front.
struct ByteCursor {
  private let bytes: [UInt8]
  private(set) var position: Int
  private let end: Int

  init(_ bytes: [UInt8]) { self.init(bytes, 0..<bytes.count) }

  private init(_ bytes: [UInt8], _ range: Range<Int>) {
    (self.bytes, position, end) = (bytes, range.lowerBound, range.upperBound)
  }

  var isEmpty: Bool { position == end }

  mutating func byte() throws -> UInt8 {
    if position == end { throw TraceFault("it ends in the middle", at: position) }
    defer { position += 1 }
    return bytes[position]
  }

  /// A number of one to ten bytes, seven bits in each, the least first.
  mutating func number() throws -> UInt64 {
    var (value, shift): (UInt64, UInt64) = (0, 0)
    while true {
      let next = try byte()
      if shift == 63 && next > 1 { throw TraceFault("a number of more than 64 bits", at: position) }
      value |= UInt64(next & 0x7f) << shift
      if next < 0x80 { return value }
      shift += 7
    }
  }

  /// The next `count` bytes by themselves.
  mutating func part(_ count: UInt64) throws -> ByteCursor {
    guard count <= UInt64(end - position) else {
      throw TraceFault("\(count) bytes are announced, and \(end - position) are left", at: position)
    }
    let range = position..<position + Int(count)
    position = range.upperBound
    return ByteCursor(bytes, range)
  }

  var text: String { String(decoding: bytes[position..<end], as: UTF8.self) }
}
