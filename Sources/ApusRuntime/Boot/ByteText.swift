/// A run of bytes that somebody else owns: a part of the environment, of a file's text or of an image in memory. Boot
/// compares and cuts text with it, since `String` would allocate before anything is set up.
package struct ByteText {
  /// The first byte; valid for as long as the owner keeps the memory.
  package let start: UnsafeRawPointer
  /// The number of bytes.
  package let count: Int

  /// `count` bytes from `start` on.
  package init(start: UnsafeRawPointer, count: Int) {
    self.start = start
    self.count = count
  }

  /// The bytes of `buffer`, which may be empty.
  package init(_ buffer: UnsafeRawBufferPointer) {
    if let base = buffer.baseAddress {
      self.init(start: base, count: buffer.count)
    } else {
      self.init("")
    }
  }

  /// The UTF-8 of `text`, which must be stored as a pointer, as every string
  /// literal is.
  package init(_ text: StaticString) {
    self.init(start: UnsafeRawPointer(text.utf8Start), count: text.utf8CodeUnitCount)
  }

  /// A C string without its terminator.
  package init(cString: UnsafePointer<CChar>) {
    var length = 0
    while cString[length] != 0 { length += 1 }
    self.init(start: UnsafeRawPointer(cString), count: length)
  }

  package var isEmpty: Bool { count == 0 }

  /// The byte at `index`, which the caller has checked.
  package subscript(index: Int) -> UInt8 {
    assert(index >= 0 && index < count)
    return start.load(fromByteOffset: index, as: UInt8.self)
  }

  /// The first `length` bytes; all of them when there are fewer.
  package func prefix(_ length: Int) -> ByteText { ByteText(start: start, count: min(max(length, 0), count)) }

  /// What follows the first `length` bytes; nothing when there are fewer.
  package func dropFirst(_ length: Int) -> ByteText {
    let cut = min(max(length, 0), count)
    return ByteText(start: start + cut, count: count - cut)
  }

  /// Where `byte` first occurs.
  package func firstIndex(of byte: UInt8) -> Int? {
    var index = 0
    while index < count {
      if self[index] == byte { return index }
      index += 1
    }
    return nil
  }

  /// Where `byte` last occurs.
  package func lastIndex(of byte: UInt8) -> Int? {
    var index = count - 1
    while index >= 0 {
      if self[index] == byte { return index }
      index -= 1
    }
    return nil
  }

  package func equals(_ other: ByteText) -> Bool { count == other.count && hasPrefix(other) }

  package func equals(_ other: StaticString) -> Bool { equals(ByteText(other)) }

  package func hasPrefix(_ other: ByteText) -> Bool {
    if other.count > count { return false }
    var index = 0
    while index < other.count {
      if self[index] != other[index] { return false }
      index += 1
    }
    return true
  }

  package func hasPrefix(_ other: StaticString) -> Bool { hasPrefix(ByteText(other)) }

  /// Cuts off and returns what stands before the first `separator`, and drops that separator; nil, with nothing cut,
  /// when there is none.
  package mutating func takeField(before separator: UInt8) -> ByteText? {
    guard let end = firstIndex(of: separator) else { return nil }
    let field = prefix(end)
    self = dropFirst(end + 1)
    return field
  }

  /// Cuts off and returns what stands before the first `separator`, or everything when there is none; nil when nothing
  /// is left.
  package mutating func takeItem(before separator: UInt8) -> ByteText? {
    if isEmpty { return nil }
    if let field = takeField(before: separator) { return field }
    let rest = self
    self = dropFirst(count)
    return rest
  }

  /// The decimal number that all of the bytes spell: digits only. nil for anything else, and when it is beyond 64 bits.
  package var decimal: UInt64? {
    if isEmpty { return nil }
    var value: UInt64 = 0
    var index = 0
    while index < count {
      let digit = self[index] &- 0x30
      if digit > 9 { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
      if overflow || carry { return nil }
      value = sum
      index += 1
    }
    return value
  }

  /// Whether the bytes are a whole number with an optional sign, however large. Tells "not a number" from "too large".
  package var isWholeNumber: Bool {
    let digits = count > 0 && (self[0] == 0x2D || self[0] == 0x2B) ? dropFirst(1) : self
    if digits.isEmpty { return false }
    var index = 0
    while index < digits.count {
      if digits[index] &- 0x30 > 9 { return false }
      index += 1
    }
    return true
  }
}
