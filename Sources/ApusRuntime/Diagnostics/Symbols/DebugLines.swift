/// The line program of a unit (DWARF 5, section 6.2): which line of which file an instruction comes from.
struct DebugLines {
  private let unit: DebugUnit
  private let sections: DebugSections
  private var version: UInt16 = 0
  private var minimumLength: UInt64 = 1
  private var lineBase: Int64 = 0
  private var lineRange: UInt64 = 1
  private var opcodeBase: UInt8 = 1
  /// The number of operands of each standard opcode, from opcode 1 on.
  private var operandCounts: UnsafeRawPointer
  private let files: DebugCursor
  private let program: DebugCursor

  /// Nil when the unit has no line program that can be read.
  init?(_ unit: DebugUnit, _ sections: DebugSections) {
    guard let offset = unit.lines, let content = sections.lines.baseAddress else { return nil }
    self.unit = unit
    self.sections = sections
    var cursor = DebugCursor(sections.lines, at: offset)
    let length = cursor.word()
    guard length < 0xffff_fff0, UInt64(length) <= UInt64(cursor.left) else { return nil }
    let end = content + Int(offset) + 4 + Int(length)
    cursor = DebugCursor(from: cursor.next, to: end)
    version = cursor.half()
    guard version >= 2 && version <= 5 else { return nil }
    // The sizes of an address and of a segment.
    if version >= 5 { cursor.skip(2) }
    let headerLength = Int(cursor.word())
    guard headerLength <= cursor.left else { return nil }
    program = DebugCursor(from: cursor.next + headerLength, to: end)
    minimumLength = UInt64(cursor.byte())
    // The number of operations in an instruction, above 1 on VLIW machines only.
    if version >= 4 { _ = cursor.byte() }
    // Whether a row begins a statement: of no interest.
    _ = cursor.byte()
    lineBase = Int64(Int8(bitPattern: cursor.byte()))
    lineRange = UInt64(cursor.byte())
    opcodeBase = cursor.byte()
    operandCounts = cursor.next
    guard lineRange > 0, opcodeBase > 0 else { return nil }
    cursor.skip(Int(opcodeBase) - 1)
    if cursor.isBroken { return nil }
    files = cursor
  }

  /// Which line the instruction at `address` comes from.
  ///
  /// The code of a function may have no line of its own there, or one of a header from which something was inlined without
  /// a word: then it is the nearest one before it that is in the file where the function is `declared`. Nil when there is
  /// none either.
  ///
  /// - Parameters:
  ///   - start: where the code begins that holds the address. (Rows before that are of code which the linker has thrown away
  ///     and moved to address 0.)
  ///   - functionStart: where the function begins in it that is to have the line: what is inlined there begins later.
  func find(
    _ address: UInt64, from start: UInt64, functionFrom functionStart: UInt64, declared: SourcePlace?
  ) -> SourcePlace? {
    var search = Search(address: address, start: start)
    run(&search)
    guard let row = search.found else { return nil }
    let found = place(file: row.file, line: UInt64(max(row.line, 0)))
    if let found, !found.isInNoFile, declared.map({ found.isInFile(of: $0) }) ?? true { return found }
    search = Search(address: address, start: start)
    search.functionStart = functionStart
    search.declared = declared
    run(&search)
    return search.nearest.flatMap { place(file: $0.file, line: UInt64($0.line)) }
  }

  private func run(_ search: inout Search) {
    var row = Row()
    var cursor = program
    while cursor.left > 0 && !cursor.isBroken {
      let opcode = cursor.byte()
      if opcode >= opcodeBase {
        let step = UInt64(opcode - opcodeBase)
        row.address &+= step / lineRange &* minimumLength
        row.line &+= lineBase &+ Int64(step % lineRange)
        if search.visit(row, self) { return }
      } else if opcode == 0 {
        if extended(&row, &cursor, &search) { return }
      } else {
        if standard(opcode, &row, &cursor, &search) { return }
      }
    }
  }

  private struct Row {
    var address: UInt64 = 0
    var file: UInt64 = 1
    var line: Int64 = 1
  }

  /// The rows of a sequence follow each other by address; each is right up to the next.
  private struct Search {
    let address: UInt64
    let start: UInt64
    /// When set, `nearest` is looked for: the last row from here on that has a line, and is in the file of `declared`.
    var functionStart: UInt64?
    var declared: SourcePlace?
    private(set) var nearest: Row?
    /// The row that holds the address.
    private(set) var found: Row?
    /// The row before the present one, of the same sequence.
    private var last: Row?
    /// The file of the last row looked at, and whether it is the right one.
    private var file: (number: UInt64, isRight: Bool)?

    init(address: UInt64, start: UInt64) {
      self.address = address
      self.start = start
    }

    /// True when the search is over.
    mutating func visit(_ row: Row, _ lines: DebugLines) -> Bool {
      if let last, last.address >= start, last.address <= address, address < row.address {
        found = last
        return true
      }
      last = row
      if let functionStart, row.line > 0, row.address >= functionStart, row.address <= address, isRight(row, lines) {
        nearest = row
      }
      return false
    }

    private mutating func isRight(_ row: Row, _ lines: DebugLines) -> Bool {
      guard let declared else { return true }
      if let file, file.number == row.file { return file.isRight }
      let isRight = lines.place(file: row.file, line: 1)?.isInFile(of: declared) ?? false
      file = (row.file, isRight)
      return isRight
    }

    mutating func endSequence() {
      last = nil
      if found == nil { nearest = nil }
    }
  }

  private func standard(
    _ opcode: UInt8, _ row: inout Row, _ cursor: inout DebugCursor, _ search: inout Search
  ) -> Bool {
    switch opcode {
    case 1:  // DW_LNS_copy
      return search.visit(row, self)
    case 2:  // DW_LNS_advance_pc
      row.address &+= cursor.unsigned() &* minimumLength
    case 3:  // DW_LNS_advance_line
      row.line &+= cursor.signed()
    case 4:  // DW_LNS_set_file
      row.file = cursor.unsigned()
    case 8:  // DW_LNS_const_add_pc
      row.address &+= UInt64(255 - opcodeBase) / lineRange &* minimumLength
    case 9:  // DW_LNS_fixed_advance_pc
      row.address &+= UInt64(cursor.half())
    default:
      let count = operandCounts.load(fromByteOffset: Int(opcode) - 1, as: UInt8.self)
      for _ in 0..<count { _ = cursor.unsigned() }
    }
    return false
  }

  private func extended(_ row: inout Row, _ cursor: inout DebugCursor, _ search: inout Search) -> Bool {
    let length = Int(clamping: cursor.unsigned())
    let before = cursor.left
    switch cursor.byte() {
    case 1:  // DW_LNE_end_sequence
      if search.visit(row, self) { return true }
      search.endSequence()
      row = Row()
    case 2:  // DW_LNE_set_address
      row.address = cursor.number(ofSize: length - 1)
    default:
      break
    }
    cursor.skip(length - (before - cursor.left))
    return false
  }

  /// The file that the unit numbers `file`, as a place.
  func place(file: UInt64, line: UInt64) -> SourcePlace? {
    version >= 5 ? placeByFormat(file, line) : placeByLists(file, line)
  }

  /// Up to version 4: a list of folders, numbered from 1, and a list of files with the numbers of their folders. Folder 0 is
  /// the unit's directory.
  private func placeByLists(_ file: UInt64, _ line: UInt64) -> SourcePlace? {
    var cursor = files
    let folders = cursor
    while cursor.left > 0, cursor.string().pointee != 0 {}
    var index: UInt64 = 1
    while cursor.left > 0 {
      let name = cursor.string()
      if name.pointee == 0 { return nil }
      let folder = cursor.unsigned()
      _ = cursor.unsigned()
      _ = cursor.unsigned()
      if index == file && !cursor.isBroken {
        return SourcePlace(
          directory: unit.directory.flatMap { unit.string($0, sections) }, folder: Self.folder(folder, folders),
          file: name, line: line)
      }
      index += 1
    }
    return nil
  }

  private static func folder(_ index: UInt64, _ folders: DebugCursor) -> UnsafePointer<CChar>? {
    var cursor = folders
    var number: UInt64 = 1
    while index > 0 && cursor.left > 0 {
      let name = cursor.string()
      if name.pointee == 0 { return nil }
      if number == index { return name }
      number += 1
    }
    return nil
  }

  /// From version 5 on: two tables, numbered from 0, each with a description of its columns.
  private func placeByFormat(_ file: UInt64, _ line: UInt64) -> SourcePlace? {
    var cursor = files
    let folders = cursor
    _ = entry(UInt64.max, &cursor)
    guard let found = entry(file, &cursor), let name = found.path else { return nil }
    var again = folders
    return SourcePlace(
      directory: unit.directory.flatMap { unit.string($0, sections) }, folder: entry(found.folder, &again)?.path,
      file: name, line: line)
  }

  /// Row `index` of the table at the cursor, which is passed over when there is no such row.
  private func entry(_ index: UInt64, _ cursor: inout DebugCursor) -> (path: UnsafePointer<CChar>?, folder: UInt64)? {
    let columnCount = cursor.byte()
    let columns = cursor
    for _ in 0..<columnCount {
      _ = cursor.unsigned()
      _ = cursor.unsigned()
    }
    let rowCount = cursor.unsigned()
    var row: UInt64 = 0
    while row < rowCount && !cursor.isBroken {
      var found: (path: UnsafePointer<CChar>?, folder: UInt64) = (nil, 0)
      var column = columns
      for _ in 0..<columnCount {
        let content = column.unsigned()
        let form = UInt16(truncatingIfNeeded: column.unsigned())
        let value = DebugValue(DebugAttribute(name: 0, form: form, constant: 0), &cursor)
        if content == 1 { found.path = unit.string(value, sections) }  // DW_LNCT_path
        if content == 2 { found.folder = value.number }  // DW_LNCT_directory_index
      }
      if row == index && !cursor.isBroken { return found }
      row += 1
    }
    return nil
  }
}
