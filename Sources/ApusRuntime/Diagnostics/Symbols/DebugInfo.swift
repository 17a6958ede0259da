/// A function as the source has it, at one address: the one that the address lies in, or one inlined there.
struct SourceFrame {
  /// As the linker knows it, or as the source has it where the linker does not.
  var name: UnsafePointer<CChar>?
  /// Where it has come to; nil when that is not known.
  var place: SourcePlace?
  /// Where it is declared.
  var declared: SourcePlace?
}

/// The functions at one address, from the one that has the code to the innermost one inlined there.
struct SourceFrames {
  /// Deeper ones are left out.
  static var capacity: Int { 64 }
  private var frames = InlineArray<64, SourceFrame>(repeating: SourceFrame())
  private(set) var count = 0
  subscript(index: Int) -> SourceFrame {
    get { frames[index] }
    set { frames[index] = newValue }
  }

  mutating func append(_ frame: SourceFrame) {
    guard count < Self.capacity else { return }
    frames[count] = frame
    count += 1
  }
}

/// The debug information of an image (DWARF 2 to 5): which functions an address is in, which file and line each has come
/// to. Nothing is decoded before it is asked for: the units' ranges with the first address in the image, a unit's
/// functions with the first address in the unit.
struct DebugInfo {
  private struct UnitRange {
    var low: UInt64
    var high: UInt64
    var unit: Int
  }

  private struct FunctionRange {
    var low: UInt64
    var high: UInt64
    /// Where its entry begins.
    var entry: UInt64
  }

  private struct Unit {
    var unit: DebugUnit
    var isDecoded = false
    var abbreviations = DebugAbbreviations()
    var functions = UnsafeMutableBufferPointer<FunctionRange>(start: nil, count: 0)
  }

  private let sections: DebugSections
  private var hasUnits = false
  private var units = UnsafeMutableBufferPointer<Unit>(start: nil, count: 0)
  private var ranges = UnsafeMutableBufferPointer<UnitRange>(start: nil, count: 0)

  init(_ sections: DebugSections) {
    self.sections = sections
  }

  /// The functions at `address`, as the image was linked; none when the image does not tell.
  mutating func lookUp(_ address: UInt64, _ arena: inout SymbolArena) -> SourceFrames {
    var frames = SourceFrames()
    if sections.info.isEmpty { return frames }
    if !hasUnits { findUnits(&arena) }
    var index = 0
    while index < ranges.count {
      let range = ranges[index]
      if address >= range.low && address < range.high {
        decode(range.unit, &arena)
        collect(address, units[range.unit], &frames)
        if frames.count > 0 { break }
      }
      index += 1
    }
    return frames
  }

  private mutating func findUnits(_ arena: inout SymbolArena) {
    hasUnits = true
    let sections = sections
    units = arena.fill(Unit.self) { room in
      var count = 0
      var offset: UInt64 = 0
      while count < room.count, let unit = DebugUnit(sections, at: offset) {
        (room.baseAddress.unsafelyUnwrapped + count).initialize(to: Unit(unit: unit))
        count += 1
        offset = unit.end
      }
      return count
    }
    let units = units
    ranges = arena.fill(UnitRange.self) { room in
      var count = 0
      for index in 0..<units.count {
        let unit = units[index].unit
        unit.code.eachRange(unit, sections) { low, high in
          guard count < room.count else { return }
          room[count] = UnitRange(low: low, high: high, unit: index)
          count += 1
        }
      }
      return count
    }
  }

  /// Decodes a unit's abbreviations and lists its functions, once.
  private func decode(_ index: Int, _ arena: inout SymbolArena) {
    if units[index].isDecoded { return }
    units[index].isDecoded = true
    let unit = units[index].unit
    let abbreviations = DebugAbbreviations(sections.abbreviations, at: unit.abbreviations, &arena)
    units[index].abbreviations = abbreviations
    let sections = sections
    units[index].functions = arena.fill(FunctionRange.self) { room in
      var count = 0
      var cursor = cursor(of: unit, at: unit.firstEntry)
      // Where an entry is deep inside others makes no difference here, so the ends of lists of children do not either.
      while cursor.left > 0 && !cursor.isBroken {
        let entry = unit.end - UInt64(cursor.left)
        let code = cursor.unsigned()
        if code == 0 { continue }
        guard let shape = abbreviations[code] else { break }
        if shape.pointee.tag != DebugEntry.function {
          Self.skip(shape, &cursor)
          continue
        }
        DebugEntry(shape.pointee, &cursor).code.eachRange(unit, sections) { low, high in
          guard count < room.count else { return }
          room[count] = FunctionRange(low: low, high: high, entry: entry)
          count += 1
        }
      }
      return count
    }
  }

  private func cursor(of unit: DebugUnit, at offset: UInt64) -> DebugCursor {
    DebugCursor(UnsafeRawBufferPointer(rebasing: sections.info.prefix(Int(unit.end))), at: offset)
  }

  private static func skip(_ shape: UnsafePointer<DebugAbbreviation>, _ cursor: inout DebugCursor) {
    if shape.pointee.size >= 0 {
      cursor.skip(shape.pointee.size)
      return
    }
    let attributes = shape.pointee.attributes
    for index in 0..<attributes.count { DebugForm.skip(attributes[index].form, &cursor) }
  }

  /// The function of `unit` around `address`, and what is inlined there.
  private func collect(_ address: UInt64, _ unit: Unit, _ frames: inout SourceFrames) {
    var best: FunctionRange?
    for index in 0..<unit.functions.count {
      let function = unit.functions[index]
      guard address >= function.low, address < function.high else { continue }
      if let best, best.high - best.low <= function.high - function.low { continue }
      best = function
    }
    guard let best else { return }
    let lines = DebugLines(unit.unit, sections)
    let start = collectInlined(address, unit, best, lines, &frames)
    guard frames.count > 0 else { return }
    frames[frames.count - 1].place = lines?.find(
      address, from: best.low, functionFrom: start, declared: frames[frames.count - 1].declared)
    for index in 0..<frames.count where frames[index].place?.isInNoFile ?? true {
      frames[index].place = frames[index].declared
    }
  }

  /// Walks down from the function's entry along the entries that hold `address`; where the code of the last one begins. An
  /// inlined function says where its caller has come to.
  private func collectInlined(
    _ address: UInt64, _ unit: Unit, _ function: FunctionRange, _ lines: DebugLines?, _ frames: inout SourceFrames
  ) -> UInt64 {
    var start = function.low
    var cursor = cursor(of: unit.unit, at: function.entry)
    guard let shape = unit.abbreviations[cursor.unsigned()] else { return start }
    let entry = DebugEntry(shape.pointee, &cursor)
    frames.append(frame(of: entry, unit.unit))
    if !entry.hasChildren { return start }
    var depth = 1
    // Entries at least as deep as this are of no interest; 0: none is.
    var skipsFrom = 0
    // The end of the children at this depth is the end of the walk: what follows cannot hold the address, too.
    var floor = 1
    while depth >= floor && !cursor.isBroken {
      let code = cursor.unsigned()
      if code == 0 {
        depth -= 1
        if skipsFrom > depth { skipsFrom = 0 }
        continue
      }
      guard let shape = unit.abbreviations[code] else { break }
      let isInlined = shape.pointee.tag == DebugEntry.inlinedFunction
      guard skipsFrom == 0, isInlined || DebugEntry.isBlock(shape.pointee.tag) else {
        Self.skip(shape, &cursor)
        if shape.pointee.hasChildren {
          depth += 1
          if skipsFrom == 0 { skipsFrom = depth }
        }
        continue
      }
      let entry = DebugEntry(shape.pointee, &cursor)
      let entryStart = entry.code.start(around: address, unit.unit, sections)
      if let entryStart, isInlined {
        frames[frames.count - 1].place = lines?.place(file: entry.callFile, line: entry.callLine)
        frames.append(frame(of: entry, unit.unit))
        start = entryStart
        if frames.count == SourceFrames.capacity { break }
      }
      if !entry.hasChildren {
        if entryStart != nil { break }
        continue
      }
      depth += 1
      if entryStart != nil {
        floor = depth
      } else if isInlined || !entry.code.isEmpty {
        skipsFrom = depth
      }
    }
    return start
  }

  /// The name of a function and where it is declared. An entry that lacks either refers to another that has it, of the same
  /// unit or another.
  private func frame(of entry: DebugEntry, _ unit: DebugUnit) -> SourceFrame {
    var (entry, unit) = (entry, unit)
    var frame = SourceFrame()
    var hasLinkageName = false
    // An inlined function refers to its abstract one, that to its declaration: more is a circle.
    for _ in 0..<4 {
      if !hasLinkageName, let name = entry.linkageName.flatMap({ unit.string($0, sections) }) {
        frame.name = name
        hasLinkageName = true
      }
      if frame.name == nil { frame.name = entry.name.flatMap { unit.string($0, sections) } }
      if frame.declared == nil, entry.line != 0, let file = entry.file {
        frame.declared = DebugLines(unit, sections)?.place(file: file, line: entry.line)
      }
      if hasLinkageName && frame.declared != nil { break }
      guard let offset = entry.origin.flatMap({ unit.reference($0) }), let other = self.unit(at: offset) else { break }
      guard let next = self.entry(at: offset, other) else { break }
      (entry, unit) = (next, other.unit)
    }
    return frame
  }

  /// The unit that the entry at `offset` belongs to.
  private func unit(at offset: UInt64) -> Unit? {
    var low = 0
    var high = units.count
    while low < high {
      let middle = (low + high) / 2
      if units[middle].unit.end <= offset { low = middle + 1 } else { high = middle }
    }
    return low < units.count && units[low].unit.offset <= offset ? units[low] : nil
  }

  private func entry(at offset: UInt64, _ unit: Unit) -> DebugEntry? {
    var cursor = cursor(of: unit.unit, at: offset)
    let code = cursor.unsigned()
    if unit.isDecoded { return unit.abbreviations[code].map { DebugEntry($0.pointee, &cursor) } }
    return withUnsafeTemporaryAllocation(of: DebugAttribute.self, capacity: 48) { room in
      DebugAbbreviations.find(code, sections.abbreviations, at: unit.unit.abbreviations, room)
        .map { DebugEntry($0, &cursor) }
    }
  }
}
