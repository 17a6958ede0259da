/// Where the code of an entry lies, as its attributes say: from `low` to `high`, or in several ranges.
struct DebugCode {
  var low: DebugValue?
  var high: DebugValue?
  var ranges: DebugValue?

  var isEmpty: Bool { low == nil && ranges == nil }

  /// Calls `body` with each range of addresses, as the image was linked. What the linker has thrown away begins at 0, or
  /// at one of the last addresses, and is left out.
  func eachRange(_ unit: DebugUnit, _ sections: DebugSections, _ body: (_ low: UInt64, _ high: UInt64) -> Void) {
    if let ranges {
      guard let offset = unit.rangeList(ranges, sections) else { return }
      if unit.version >= 5 {
        Self.eachRange(ofList: offset, unit, sections, body)
      } else {
        Self.eachRange(ofPairs: offset, unit, sections, body)
      }
    } else if let low, let high, let start = unit.address(low, sections) {
      // An address, or a distance from the start.
      Self.hand(start, unit.address(high, sections) ?? start &+ high.number, body)
    }
  }

  /// Where the one begins that `address` is in; nil when it is in none.
  func start(around address: UInt64, _ unit: DebugUnit, _ sections: DebugSections) -> UInt64? {
    var start: UInt64?
    eachRange(unit, sections) { low, high in
      if address >= low && address < high { start = low }
    }
    return start
  }

  private static func hand(_ low: UInt64, _ high: UInt64, _ body: (UInt64, UInt64) -> Void) {
    if low != 0 && low < high && low < UInt64.max - 1 { body(low, high) }
  }

  /// `.debug_ranges`: pairs of addresses relative to a base, which a pair that begins with the largest address changes.
  private static func eachRange(
    ofPairs offset: UInt64, _ unit: DebugUnit, _ sections: DebugSections, _ body: (UInt64, UInt64) -> Void
  ) {
    var cursor = DebugCursor(sections.ranges, at: offset)
    var base = unit.base
    while !cursor.isBroken {
      let low = cursor.long()
      let high = cursor.long()
      if low == 0 && high == 0 { return }
      if low == UInt64.max {
        base = high
      } else {
        hand(base &+ low, base &+ high, body)
      }
    }
  }

  /// `.debug_rnglists` (DWARF 5, section 7.25).
  private static func eachRange(
    ofList offset: UInt64, _ unit: DebugUnit, _ sections: DebugSections, _ body: (UInt64, UInt64) -> Void
  ) {
    var cursor = DebugCursor(sections.rangeLists, at: offset)
    var base = unit.base
    while !cursor.isBroken {
      switch cursor.byte() {
      case 1:  // DW_RLE_base_addressx
        base = unit.address(at: cursor.unsigned(), sections) ?? 0
      case 2:  // DW_RLE_startx_endx
        let low = unit.address(at: cursor.unsigned(), sections) ?? 0
        hand(low, unit.address(at: cursor.unsigned(), sections) ?? 0, body)
      case 3:  // DW_RLE_startx_length
        let low = unit.address(at: cursor.unsigned(), sections) ?? 0
        hand(low, low &+ cursor.unsigned(), body)
      case 4:  // DW_RLE_offset_pair
        let low = base &+ cursor.unsigned()
        hand(low, base &+ cursor.unsigned(), body)
      case 5:  // DW_RLE_base_address
        base = cursor.long()
      case 6:  // DW_RLE_start_end
        let low = cursor.long()
        hand(low, cursor.long(), body)
      case 7:  // DW_RLE_start_length
        let low = cursor.long()
        hand(low, low &+ cursor.unsigned(), body)
      default:  // DW_RLE_end_of_list, or unknown
        return
      }
    }
  }
}
