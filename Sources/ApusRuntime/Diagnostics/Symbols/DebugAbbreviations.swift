/// How one attribute of an entry is stored (DWARF 5, section 7.5.3).
struct DebugAttribute {
  var name: UInt16
  var form: UInt16
  /// The value itself, where the form is `implicitConstant`.
  var constant: Int64
}

/// The shape of entries with one code: their tag and attributes.
struct DebugAbbreviation {
  var code: UInt64
  var tag: UInt16
  var hasChildren: Bool
  var attributes: UnsafeBufferPointer<DebugAttribute>
  /// How many bytes an entry has after its code; -1 when that differs. Most have a fixed size, and skipping those is most
  /// of what a walk over a unit does.
  var size: Int
}

/// The abbreviations of a unit, decoded once.
struct DebugAbbreviations {
  private var table = UnsafeMutableBufferPointer<DebugAbbreviation>(start: nil, count: 0)

  init() {}

  /// Decodes the table at `offset` of `section`.
  init(_ section: UnsafeRawBufferPointer, at offset: UInt64, _ arena: inout SymbolArena) {
    let attributeCount = Self.countAttributes(section, at: offset)
    guard let attributes = arena.allocate(DebugAttribute.self, count: attributeCount) else { return }
    var used = 0
    var cursor = DebugCursor(section, at: offset)
    table = arena.fill(DebugAbbreviation.self) { room in
      var count = 0
      while count < room.count, var next = Self.header(&cursor) {
        let first = attributes + used
        while used < attributeCount, let attribute = Self.attribute(&cursor) {
          attributes[used] = attribute
          used += 1
        }
        next.attributes = UnsafeBufferPointer(start: first, count: attributes + used - first)
        next.size = DebugForm.size(of: next.attributes)
        (room.baseAddress.unsafelyUnwrapped + count).initialize(to: next)
        count += 1
      }
      return count
    }
  }

  /// The abbreviation with `code`. Compilers number them from 1 on.
  subscript(code: UInt64) -> UnsafePointer<DebugAbbreviation>? {
    guard let base = table.baseAddress else { return nil }
    if code >= 1 && code <= UInt64(table.count) && base[Int(code) - 1].code == code {
      return UnsafePointer(base + (Int(code) - 1))
    }
    for index in 0..<table.count where base[index].code == code { return UnsafePointer(base + index) }
    return nil
  }

  /// The abbreviation with `code` of a table that is not worth decoding, since one entry is all that is wanted of its unit.
  /// Its attributes are the first `room.count`.
  static func find(
    _ code: UInt64, _ section: UnsafeRawBufferPointer, at offset: UInt64,
    _ room: UnsafeMutableBufferPointer<DebugAttribute>
  ) -> DebugAbbreviation? {
    var cursor = DebugCursor(section, at: offset)
    while var next = header(&cursor) {
      var count = 0
      while let attribute = attribute(&cursor) {
        guard next.code == code, count < room.count else { continue }
        room[count] = attribute
        count += 1
      }
      if next.code == code {
        next.attributes = UnsafeBufferPointer(rebasing: room.prefix(count))
        return next
      }
    }
    return nil
  }

  private static func countAttributes(_ section: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
    var cursor = DebugCursor(section, at: offset)
    var count = 0
    while header(&cursor) != nil {
      while attribute(&cursor) != nil { count += 1 }
    }
    return count
  }

  /// The next abbreviation without its attributes; nil at the table's end.
  private static func header(_ cursor: inout DebugCursor) -> DebugAbbreviation? {
    let code = cursor.unsigned()
    if code == 0 || cursor.isBroken { return nil }
    let tag = cursor.unsigned()
    return DebugAbbreviation(
      code: code, tag: UInt16(truncatingIfNeeded: tag), hasChildren: cursor.byte() != 0,
      attributes: UnsafeBufferPointer(start: nil, count: 0), size: -1)
  }

  /// The next attribute of an abbreviation; nil after its last.
  private static func attribute(_ cursor: inout DebugCursor) -> DebugAttribute? {
    let name = cursor.unsigned()
    let form = cursor.unsigned()
    let constant = form == UInt64(DebugForm.implicitConstant) ? cursor.signed() : 0
    if (name == 0 && form == 0) || cursor.isBroken { return nil }
    return DebugAttribute(
      name: UInt16(truncatingIfNeeded: name), form: UInt16(truncatingIfNeeded: form), constant: constant)
  }
}
