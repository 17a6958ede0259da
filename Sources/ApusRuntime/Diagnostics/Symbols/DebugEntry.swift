/// What is of interest of one entry of a unit: a function, a function inlined into another, a block of one.
struct DebugEntry {
  /// DW_TAG_subprogram, DW_TAG_inlined_subroutine.
  static var function: UInt16 { 0x2e }
  static var inlinedFunction: UInt16 { 0x1d }
  /// DW_TAG_lexical_block, DW_TAG_try_block, DW_TAG_catch_block: may hold inlined functions.
  static func isBlock(_ tag: UInt16) -> Bool { tag == 0x0b || tag == 0x32 || tag == 0x25 }

  private(set) var tag: UInt16
  private(set) var hasChildren: Bool
  private(set) var code = DebugCode()
  /// The name that the linker knows, or else the one in the source.
  private(set) var linkageName: DebugValue?
  private(set) var name: DebugValue?
  /// The entry that has what this one lacks: of the function that was inlined here, or of its declaration.
  private(set) var origin: DebugValue?
  /// Where it is declared, and, below, where the inlined function was called: a number of the unit's files, and a line.
  private(set) var file: UInt64?
  private(set) var line: UInt64 = 0
  private(set) var callFile: UInt64 = 0
  private(set) var callLine: UInt64 = 0

  /// Reads what follows an entry's code.
  init(_ shape: DebugAbbreviation, _ cursor: inout DebugCursor) {
    tag = shape.tag
    hasChildren = shape.hasChildren
    for index in 0..<shape.attributes.count {
      let attribute = shape.attributes[index]
      switch attribute.name {
      case 0x11: code.low = DebugValue(attribute, &cursor)  // DW_AT_low_pc
      case 0x12: code.high = DebugValue(attribute, &cursor)  // DW_AT_high_pc
      case 0x55: code.ranges = DebugValue(attribute, &cursor)  // DW_AT_ranges
      case 0x03: name = DebugValue(attribute, &cursor)  // DW_AT_name
      case 0x6e, 0x2007: linkageName = DebugValue(attribute, &cursor)  // DW_AT_linkage_name, DW_AT_MIPS_linkage_name
      case 0x31, 0x47: origin = DebugValue(attribute, &cursor)  // DW_AT_abstract_origin, DW_AT_specification
      case 0x3a: file = DebugValue(attribute, &cursor).number  // DW_AT_decl_file
      case 0x3b: line = DebugValue(attribute, &cursor).number  // DW_AT_decl_line
      case 0x58: callFile = DebugValue(attribute, &cursor).number  // DW_AT_call_file
      case 0x59: callLine = DebugValue(attribute, &cursor).number  // DW_AT_call_line
      default: DebugForm.skip(attribute.form, &cursor)
      }
    }
  }
}
