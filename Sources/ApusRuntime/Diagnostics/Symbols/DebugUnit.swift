/// A unit of debug information: in a debug build a source file, in a release build a module. Of DWARF 2 to 5, with 32-bit
/// offsets and 64-bit addresses, as clang and swiftc write it for Linux.
struct DebugUnit {
  /// Where its header begins and where the next one's does, in `.debug_info`.
  private(set) var offset: UInt64 = 0
  private(set) var end: UInt64 = 0
  private(set) var version: UInt16 = 0
  /// Where its abbreviations begin.
  private(set) var abbreviations: UInt64 = 0
  /// Where its first entry begins.
  private(set) var firstEntry: UInt64 = 0
  /// Where its line program begins; nil when it has none.
  private(set) var lines: UInt64?
  /// The base of its ranges.
  private(set) var base: UInt64 = 0
  /// What its own entry says of the code that it describes.
  private(set) var code = DebugCode()
  private(set) var directory: DebugValue?
  private var stringOffsets: UInt64 = 8
  private var addresses: UInt64 = 8
  private var rangeLists: UInt64 = 12

  /// Reads the header at `offset` and the unit's first entry; nil at the end of the section, or where nothing after it can
  /// be read. A unit that is of no use has no code.
  init?(_ sections: DebugSections, at offset: UInt64) {
    self.offset = offset
    if offset >= UInt64(sections.info.count) { return nil }
    var cursor = DebugCursor(sections.info, at: offset)
    let length = cursor.word()
    // 0xfffffff0 and above mark other formats.
    guard length < 0xffff_fff0, UInt64(length) <= UInt64(cursor.left) else { return nil }
    end = offset + 4 + UInt64(length)
    version = cursor.half()
    guard version >= 2 && version <= 5 else { return }
    var type: UInt8 = 1
    if version >= 5 {
      type = cursor.byte()
      guard cursor.byte() == 8 else { return }
      abbreviations = UInt64(cursor.word())
    } else {
      abbreviations = UInt64(cursor.word())
      guard cursor.byte() == 8 else { return }
    }
    // Compilation units and partial ones; others describe types, or lie in files of their own.
    guard type == 1 || type == 3 else { return }
    firstEntry = offset + UInt64(version >= 5 ? 12 : 11)
    readFirstEntry(sections, &cursor)
  }

  private mutating func readFirstEntry(_ sections: DebugSections, _ cursor: inout DebugCursor) {
    let code = cursor.unsigned()
    withUnsafeTemporaryAllocation(of: DebugAttribute.self, capacity: 48) { room in
      guard
        let shape = DebugAbbreviations.find(code, sections.abbreviations, at: abbreviations, room),
        shape.attributes.count < room.count
      else { return }
      for index in 0..<shape.attributes.count {
        let attribute = shape.attributes[index]
        let value = DebugValue(attribute, &cursor)
        switch attribute.name {
        case 0x10: lines = value.number  // DW_AT_stmt_list
        case 0x11: self.code.low = value  // DW_AT_low_pc
        case 0x12: self.code.high = value  // DW_AT_high_pc
        case 0x1b: directory = value  // DW_AT_comp_dir
        case 0x55: self.code.ranges = value  // DW_AT_ranges
        case 0x72: stringOffsets = value.number  // DW_AT_str_offsets_base
        case 0x73: addresses = value.number  // DW_AT_addr_base
        case 0x74: rangeLists = value.number  // DW_AT_rnglists_base
        default: break
        }
      }
      if let low = self.code.low { base = address(low, sections) ?? 0 }
    }
  }

  /// What `value` is as an address.
  func address(_ value: DebugValue, _ sections: DebugSections) -> UInt64? {
    if value.form == DebugForm.address { return value.number }
    guard DebugForm.isAddressIndex(value.form) else { return nil }
    return address(at: value.number, sections)
  }

  /// Number `index` of the unit's addresses.
  func address(at index: UInt64, _ sections: DebugSections) -> UInt64? {
    var cursor = DebugCursor(sections.addresses, at: addresses &+ index &* 8)
    let address = cursor.long()
    return cursor.isBroken ? nil : address
  }

  /// What `value` is as a string.
  func string(_ value: DebugValue, _ sections: DebugSections) -> UnsafePointer<CChar>? {
    if let text = value.text { return text }
    if value.form == DebugForm.lineStringOffset { return Self.string(at: value.number, sections.lineStrings) }
    if value.form == DebugForm.stringOffset { return Self.string(at: value.number, sections.strings) }
    guard DebugForm.isStringIndex(value.form) else { return nil }
    var cursor = DebugCursor(sections.stringOffsets, at: stringOffsets &+ value.number &* 4)
    let offset = cursor.word()
    return cursor.isBroken ? nil : Self.string(at: UInt64(offset), sections.strings)
  }

  private static func string(at offset: UInt64, _ section: UnsafeRawBufferPointer) -> UnsafePointer<CChar>? {
    var cursor = DebugCursor(section, at: offset)
    let text = cursor.string()
    return cursor.isBroken ? nil : text
  }

  /// Where in `.debug_info` the entry is that `value` refers to.
  func reference(_ value: DebugValue) -> UInt64? {
    if DebugForm.isUnitReference(value.form) { return offset &+ value.number }
    return value.form == DebugForm.absoluteReference ? value.number : nil
  }

  /// Where the range list that `value` names begins, in its section.
  func rangeList(_ value: DebugValue, _ sections: DebugSections) -> UInt64? {
    if value.form != DebugForm.rangeListIndex { return value.number }
    var cursor = DebugCursor(sections.rangeLists, at: rangeLists &+ value.number &* 4)
    let offset = cursor.word()
    return cursor.isBroken ? nil : rangeLists &+ UInt64(offset)
  }
}
