/// A position in a section of debug information. Reading past the end gives zeros and leaves the cursor at the end, marked
/// as `isBroken`: the file on disk may not be the one that was loaded, and a report must not fail over it.
struct DebugCursor {
  private(set) var next: UnsafeRawPointer
  private let end: UnsafeRawPointer
  private(set) var isBroken = false

  /// At `offset` of `section`; broken from the start when that is outside.
  init(_ section: UnsafeRawBufferPointer, at offset: UInt64) {
    // Any address does for an empty section: it is never read.
    let start = section.baseAddress ?? UnsafeRawPointer(bitPattern: 8).unsafelyUnwrapped
    end = start + section.count
    if offset <= UInt64(section.count) {
      next = start + Int(offset)
    } else {
      next = end
      isBroken = true
    }
  }

  /// At `start`, up to `end`.
  init(from start: UnsafeRawPointer, to end: UnsafeRawPointer) {
    next = start
    self.end = end
  }

  /// How many bytes follow.
  var left: Int { end - next }

  private mutating func takes(_ count: Int) -> Bool {
    if end - next >= count { return true }
    next = end
    isBroken = true
    return false
  }

  mutating func skip(_ count: Int) {
    if count >= 0 && takes(count) {
      next += count
    } else {
      next = end
      isBroken = true
    }
  }

  mutating func byte() -> UInt8 {
    guard takes(1) else { return 0 }
    defer { next += 1 }
    return next.load(as: UInt8.self)
  }

  mutating func half() -> UInt16 {
    guard takes(2) else { return 0 }
    defer { next += 2 }
    return next.loadUnaligned(as: UInt16.self)
  }

  mutating func word() -> UInt32 {
    guard takes(4) else { return 0 }
    defer { next += 4 }
    return next.loadUnaligned(as: UInt32.self)
  }

  mutating func long() -> UInt64 {
    guard takes(8) else { return 0 }
    defer { next += 8 }
    return next.loadUnaligned(as: UInt64.self)
  }

  /// An unsigned number of `size` bytes: 1, 2, 4 or 8, as addresses have.
  mutating func number(ofSize size: Int) -> UInt64 {
    switch size {
    case 1: return UInt64(byte())
    case 2: return UInt64(half())
    case 4: return UInt64(word())
    case 8: return long()
    default:
      skip(size)
      return 0
    }
  }

  /// An unsigned LEB128 number.
  mutating func unsigned() -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = byte()
      if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
  }

  /// A signed LEB128 number.
  mutating func signed() -> Int64 {
    var value: Int64 = 0
    var shift: Int64 = 0
    while true {
      let byte = byte()
      if shift < 64 { value |= Int64(byte & 0x7f) << shift }
      shift += 7
      if byte & 0x80 == 0 {
        if byte & 0x40 != 0 && shift < 64 { value |= -1 << shift }
        return value
      }
    }
  }

  /// A string up to its terminator; empty when there is none.
  mutating func string() -> UnsafePointer<CChar> {
    let start = next
    while next < end {
      let byte = next.load(as: UInt8.self)
      next += 1
      if byte == 0 { return start.assumingMemoryBound(to: CChar.self) }
    }
    isBroken = true
    return Self.noString
  }

  private static var noString: UnsafePointer<CChar> {
    let empty: StaticString = ""
    return UnsafeRawPointer(empty.utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
