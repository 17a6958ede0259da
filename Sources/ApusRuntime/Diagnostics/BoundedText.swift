/// Text in memory of a fixed size. What does not fit is left out.
struct BoundedText {
  private let memory: UnsafeMutableRawBufferPointer
  private(set) var count = 0
  /// Everything did fit.
  private(set) var isWhole = true

  init(_ memory: UnsafeMutableRawBufferPointer) {
    self.memory = memory
  }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory.prefix(count)) }

  mutating func add(byte: UInt8) {
    guard count < memory.count else {
      isWhole = false
      return
    }
    memory[count] = byte
    count += 1
  }

  mutating func add(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { add(byte: text.utf8Start[index]) }
  }

  mutating func add(_ text: ByteText) {
    for index in 0..<text.count { add(byte: text[index]) }
  }

  /// With a label: a literal would else become a `String` that is converted to this.
  mutating func add(cString text: UnsafePointer<CChar>) {
    add(ByteText(cString: text))
  }

  /// `number` in decimal, or in hexadecimal after `0x`.
  mutating func add(_ number: UInt64) { add(number, radix: 10) }

  mutating func add(hex number: UInt) {
    add("0x")
    add(UInt64(number), radix: 16)
  }

  private mutating func add(_ number: UInt64, radix: UInt64) {
    Digits.each(of: number, radix: radix) { add(byte: $0) }
  }
}
