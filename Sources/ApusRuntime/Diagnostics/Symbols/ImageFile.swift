import CApus

/// The file of a loaded image in memory, and what it tells about the image's addresses: its symbols, and its debug
/// information where it has any. Every offset that the file gives is checked against its size: the file on disk may not be
/// the one that was loaded.
struct ImageFile {
  /// A symbol: its name, and its addresses as the image was linked.
  struct Match {
    var name: UnsafePointer<CChar>
    var length: Int
    var start: UInt64
    var end: UInt64
  }

  /// Elf64_Sym, field by field.
  private struct ELFSymbol {
    var name: UInt32
    var info: UInt8
    var other: UInt8
    var section: UInt16
    var value: UInt64
    var size: UInt64
  }

  /// The image's program headers in memory: its identity. Nil in an unused entry.
  private(set) var headers: UnsafeRawPointer?
  private var file = UnsafeRawBufferPointer(start: nil, count: 0)
  private var symbols = UnsafeBufferPointer<ELFSymbol>(start: nil, count: 0)
  private var strings = UnsafeRawBufferPointer(start: nil, count: 0)
  private(set) var debug = DebugInfo(DebugSections())
  /// The last answer: a recursion asks for the same function again and again.
  private var last: Match?

  init() {}

  /// Maps the file of the image with these program headers: the running program's, or else the one at `path`.
  init(headers: UnsafeRawPointer?, path: UnsafePointer<CChar>?, isMain: Bool) {
    self.headers = headers
    var size = 0
    var start: UnsafeRawPointer?
    if isMain {
      let link: StaticString = "/proc/self/exe"
      start = apus_map_file(UnsafeRawPointer(link.utf8Start).assumingMemoryBound(to: CChar.self), &size)
    } else if let path {
      start = apus_map_file(path, &size)
    }
    guard let start else { return }
    file = UnsafeRawBufferPointer(start: start, count: size)
    readSections()
  }

  /// Gives the mapping back.
  mutating func unmap() {
    if let start = file.baseAddress { _ = apus_munmap(UnsafeMutableRawPointer(mutating: start), file.count) }
    self = ImageFile()
  }

  /// The functions at `address`, by the debug information.
  ///
  /// What a module inlines or specialises of another one's code has no lines, or only those of the place where it came in,
  /// and does not say where it is declared. The function itself does, if the image has that, too.
  mutating func sourceFrames(at address: UInt64, _ symbol: Match?, _ arena: inout SymbolArena) -> SourceFrames {
    var frames = debug.lookUp(address, &arena)
    for index in 0..<frames.count where frames[index].declared == nil {
      let name = index == 0 ? symbol?.name ?? frames[index].name : frames[index].name
      guard let name, let declared = declaration(of: ByteText(cString: name), &arena) else { continue }
      frames[index].declared = declared
      // What is inlined in it says where it has come to, unless it has no line for that.
      let isInnermost = index + 1 == frames.count
      let isRight = frames[index].place.map { !isInnermost || $0.isInFile(of: declared) } ?? false
      if !isRight { frames[index].place = declared }
    }
    return frames
  }

  /// Where the function called `name` is declared, or else the one that it is a special form of, maybe of a special form.
  private mutating func declaration(of name: ByteText, _ arena: inout SymbolArena) -> SourcePlace? {
    var limit = name.count
    while let general = generalForm(of: name, atMost: limit) {
      let frames = debug.lookUp(general.symbol.pointee.value, &arena)
      if frames.count > 0, let declared = frames[0].declared { return declared }
      limit = general.length - 1
    }
    return nil
  }

  /// The function with the longest name, of up to `limit` bytes, that `name` begins with: mangled names of special forms
  /// begin with the name of the general one.
  private func generalForm(
    of name: ByteText, atMost limit: Int
  ) -> (symbol: UnsafePointer<ELFSymbol>, length: Int)? {
    guard name.starts(with: "$"), let base = symbols.baseAddress, let texts = strings.baseAddress else { return nil }
    var best: UnsafePointer<ELFSymbol>?
    var length = 2
    for index in 0..<symbols.count {
      let candidate = base + index
      guard candidate.pointee.info & 15 == 2, candidate.pointee.section != 0, candidate.pointee.size > 0
      else { continue }
      let offset = Int(candidate.pointee.name)
      var count = 0
      while offset + count < strings.count, count < name.count {
        let byte = texts.load(fromByteOffset: offset + count, as: UInt8.self)
        if byte == 0 || byte != name[count] { break }
        count += 1
      }
      let ends = offset + count < strings.count && texts.load(fromByteOffset: offset + count, as: UInt8.self) == 0
      if ends && count > length && count <= limit {
        best = candidate
        length = count
      }
    }
    return best.map { ($0, length) }
  }

  /// The function symbol around `address`. Symbols without a size, as assembly leaves them, reach to the next symbol
  /// and give way to one with a size.
  mutating func find(_ address: UInt64) -> Match? {
    if let last, last.start <= address, address < last.end { return last }
    guard let base = symbols.baseAddress else { return nil }
    var best: UnsafePointer<ELFSymbol>?
    var bestIsSized = false
    for index in 0..<symbols.count {
      let symbol = base + index
      let type = symbol.pointee.info & 15
      // STT_FUNC, STT_GNU_IFUNC; section 0 is an undefined symbol.
      guard type == 2 || type == 10, symbol.pointee.section != 0, symbol.pointee.value <= address else { continue }
      let size = symbol.pointee.size
      if size != 0 {
        guard address - symbol.pointee.value < size else { continue }
        if bestIsSized, let best, best.pointee.value >= symbol.pointee.value { continue }
        best = symbol
        bestIsSized = true
      } else if !bestIsSized {
        if let best, best.pointee.value >= symbol.pointee.value { continue }
        best = symbol
      }
    }
    guard let best = best?.pointee, let text = Self.string(at: Int(best.name), strings) else { return nil }
    let match = Match(
      name: text.start, length: text.length, start: best.value,
      end: bestIsSized ? best.value &+ best.size : best.value)
    last = match
    return match
  }

  private static func string(
    at offset: Int, _ strings: UnsafeRawBufferPointer
  ) -> (start: UnsafePointer<CChar>, length: Int)? {
    guard let base = strings.baseAddress, offset < strings.count else { return nil }
    var end = offset
    while end < strings.count && base.load(fromByteOffset: end, as: UInt8.self) != 0 { end += 1 }
    guard end < strings.count, end > offset else { return nil }
    return ((base + offset).assumingMemoryBound(to: CChar.self), end - offset)
  }

  /// Elf64_Ehdr: section headers at 40, their size at 58 and number at 60, the section of their names at 62. Elf64_Shdr: name
  /// at 0, type at 4, flags at 8, offset at 24, size at 32, linked section at 40.
  private mutating func readSections() {
    guard word(0, as: UInt32.self) == 0x464c_457f, word(4, as: UInt8.self) == 2,  // "\u{7f}ELF", 64 bits
      let tableOffset = word(40, as: UInt64.self), let size = word(58, as: UInt16.self),
      let number = word(60, as: UInt16.self), let nameIndex = word(62, as: UInt16.self),
      let table = Int(exactly: tableOffset), table < file.count
    else { return }
    let names = section(at: table + Int(nameIndex) * Int(size)) ?? UnsafeRawBufferPointer(start: nil, count: 0)
    var sections = DebugSections()
    for index in 0..<Int(number) {
      let header = table + index * Int(size)
      let type = word(header + 4, as: UInt32.self)
      guard let content = section(at: header) else { continue }
      // .symtab (2) has every function, .dynsym (11) the exported ones.
      if type == 2 || (type == 11 && symbols.isEmpty) {
        let linked = word(header + 40, as: UInt32.self).flatMap { section(at: table + Int($0) * Int(size)) }
        readSymbols(content, names: linked)
      }
      // SHF_COMPRESSED: of no use here.
      guard let flags = word(header + 8, as: UInt64.self), flags & 0x800 == 0,
        let offset = word(header, as: UInt32.self), let name = Self.string(at: Int(offset), names)
      else { continue }
      sections.take(ByteText(start: UnsafeRawPointer(name.start), count: name.length), content)
    }
    debug = DebugInfo(sections)
  }

  private mutating func readSymbols(_ content: UnsafeRawBufferPointer, names: UnsafeRawBufferPointer?) {
    guard let names, let start = content.baseAddress,
      Int(bitPattern: start) % MemoryLayout<ELFSymbol>.alignment == 0
    else { return }
    let stride = MemoryLayout<ELFSymbol>.stride
    symbols = UnsafeBufferPointer(
      start: start.assumingMemoryBound(to: ELFSymbol.self), count: content.count / stride)
    strings = names
  }

  private func section(at header: Int) -> UnsafeRawBufferPointer? {
    guard let type = word(header + 4, as: UInt32.self), type != 8,  // SHT_NOBITS has no content
      let offsetWord = word(header + 24, as: UInt64.self), let sizeWord = word(header + 32, as: UInt64.self),
      let offset = Int(exactly: offsetWord), let size = Int(exactly: sizeWord),
      let start = file.baseAddress, offset <= file.count, size <= file.count - offset
    else { return nil }
    return UnsafeRawBufferPointer(start: start + offset, count: size)
  }

  private func word<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T? {
    guard let start = file.baseAddress, offset >= 0, offset <= file.count - MemoryLayout<T>.size else { return nil }
    return start.loadUnaligned(fromByteOffset: offset, as: type)
  }
}
