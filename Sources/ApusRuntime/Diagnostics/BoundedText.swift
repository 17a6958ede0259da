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

extension BoundedText {
  /// Adds `number` divided by a thousand, with three digits behind the point.
  mutating func add(thousandths number: Int64) {
    let number = UInt64(max(number, 0))
    add(number / 1000)
    add(".")
    addDigits(of: number, from: 100)
  }

  /// Adds nanoseconds as milliseconds: whole ones from 10 on, else with two significant digits (Go's `fmtNSAsMS`).
  mutating func addMilliseconds(_ nanoseconds: Int64) {
    if nanoseconds >= 10_000_000 {
      add(UInt64(nanoseconds / 1_000_000))
      return
    }
    var microseconds = UInt64(max(nanoseconds, 0) / 1000)
    if microseconds == 0 {
      add("0")
      return
    }
    var places = 3
    while microseconds >= 100 {
      microseconds /= 10
      places -= 1
    }
    let scale: UInt64 = places == 3 ? 1000 : places == 2 ? 100 : places == 1 ? 10 : 1
    add(microseconds / scale)
    if places == 0 { return }
    add(".")
    addDigits(of: microseconds, from: scale / 10)
  }

  /// Adds the digits of `number` from the one that counts `place` on.
  private mutating func addDigits(of number: UInt64, from place: UInt64) {
    var place = place
    while place > 0 {
      add(byte: UInt8(ascii: "0") + UInt8(number / place % 10))
      place /= 10
    }
  }
}
