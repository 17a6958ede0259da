/// A control group's directory, put together in a caller's buffer, with room for the name of a file in it.
package struct CgroupPath {
  private let buffer: UnsafeMutableRawBufferPointer
  /// The length of the directory, and of the mount point that it begins with.
  private var length = 0
  private var mountLength = 0
  /// Room for the longest name of a file and the terminator.
  private static var reserve: Int { 32 }

  /// `buffer` must have more than 32 bytes and outlive the path.
  package init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

  /// The directory, without a slash at its end.
  package var text: ByteText { ByteText(start: UnsafeRawPointer(buffer.baseAddress!), count: length) }

  /// Makes this `mountPoint`, whose escapes are undone, followed by `group`, which begins with a slash or is empty.
  /// False when it does not fit or an escape is malformed; the path is then empty.
  package mutating func set(mountPoint: ByteText, group: ByteText) -> Bool {
    length = 0
    mountLength = 0
    var cursor = 0
    while cursor < mountPoint.count {
      guard let byte = Self.unescape(mountPoint, &cursor), append(byte) else {
        length = 0
        return false
      }
    }
    // "/" as a mount point, or as a group, adds nothing to what comes before or after it.
    if length == 1, buffer[0] == 0x2F { length = 0 }
    mountLength = length
    cursor = group.count == 1 ? 1 : 0
    while cursor < group.count {
      if !append(group[cursor]) {
        length = 0
        mountLength = 0
        return false
      }
      cursor += 1
    }
    return true
  }

  /// The same for a mount point without escapes.
  package mutating func set(mountPoint: StaticString, group: ByteText) -> Bool {
    set(mountPoint: ByteText(mountPoint), group: group)
  }

  /// Goes to the group above. False, and nothing done, at the mount point.
  package mutating func goUp() -> Bool {
    guard length > mountLength, let slash = text.lastIndex(of: 0x2F), slash >= mountLength else { return false }
    length = slash
    return true
  }

  /// Calls `body` with the path of the file `name`, which begins with a slash and has at most 31 bytes.
  package func withFile<Result>(_ name: StaticString, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    precondition(name.utf8CodeUnitCount < Self.reserve)
    let end = buffer.baseAddress! + length
    end.copyMemory(from: name.utf8Start, byteCount: name.utf8CodeUnitCount + 1)
    return body(UnsafePointer(buffer.baseAddress!.assumingMemoryBound(to: CChar.self)))
  }

  /// How many bytes of `group` the mount's `root` is, if it is that group or one above it; 1 for the root "/".
  package static func lengthInGroup(ofEscaped root: ByteText, _ group: ByteText) -> Int? {
    if root.count == 1 { return 1 }
    var cursor = 0
    var length = 0
    while cursor < root.count {
      guard let byte = unescape(root, &cursor), length < group.count, group[length] == byte else { return nil }
      length += 1
    }
    return length == group.count || group[length] == 0x2F ? length : nil
  }

  private mutating func append(_ byte: UInt8) -> Bool {
    if length >= buffer.count - Self.reserve { return false }
    buffer[length] = byte
    length += 1
    return true
  }

  /// The byte at `cursor`, which moves on: itself, or what a backslash and three octal digits stand for.
  private static func unescape(_ text: ByteText, _ cursor: inout Int) -> UInt8? {
    let byte = text[cursor]
    if byte != 0x5C {
      cursor += 1
      return byte
    }
    guard cursor + 3 < text.count else { return nil }
    var value: UInt = 0
    for index in cursor + 1...cursor + 3 {
      let digit = text[index] &- 0x30
      if digit > 7 { return nil }
      value = value * 8 + UInt(digit)
    }
    cursor += 4
    return UInt8(exactly: value)
  }
}
