import CApus

/// What a symbol table tells about an address.
struct Symbol {
  /// The path of the executable or library that holds the address, as the dynamic linker or the kernel knows it. Nil
  /// when no image holds it.
  var path: UnsafePointer<CChar>?
  /// The address relative to where the image was linked: what `addr2line -e IMAGE` takes.
  var imageOffset: UInt
  /// The function's mangled name; nil when the image has no symbol for it. Valid until the table is closed.
  var name: UnsafePointer<CChar>?
  /// The number of bytes in `name`.
  var nameLength: Int
  /// The address relative to the function's first instruction.
  var functionOffset: UInt
}

/// Finds the function that holds an address: reads the symbol tables of this process's ELF images from their files
/// (`.symtab`, or `.dynsym` in a stripped one), without allocating. Go's `findfunc` has a sorted table for it; this
/// one is for reports only and scans.
struct SymbolTable: ~Copyable {
  /// How many images stay mapped. A report touches few; a further one takes the last one's place.
  private static let capacity = 8
  private var images = InlineArray<8, MappedImage>(repeating: MappedImage())
  private var count = 0

  /// The symbol that holds `address`, an address inside an instruction (not a return address).
  mutating func lookUp(_ address: UInt) -> Symbol {
    var query = ImageQuery(address: address)
    withUnsafeMutablePointer(to: &query) { query in
      // The closure is a C function: it captures nothing.
      _ = apus_each_image(
        { context, path, base, headers, headerCount, _ in
          guard let query = context?.assumingMemoryBound(to: ImageQuery.self), let headers else { return 0 }
          return query.pointee.visit(path: path, base: base, headers: headers, count: Int(headerCount)) ? 1 : 0
        }, query)
    }
    var symbol = Symbol(path: nil, imageOffset: address, name: nil, nameLength: 0, functionOffset: 0)
    guard query.isFound else { return symbol }
    symbol.imageOffset = address &- query.base
    // The main program has no name in the dynamic linker's list.
    let isMain = query.path.map { $0.pointee == 0 } ?? true
    let executed = UnsafePointer<CChar>(bitPattern: UInt(apus_getauxval(auxExecutableName)))
    symbol.path = isMain ? executed : query.path
    let index = mapped(query, isMain: isMain)
    if let found = images[index].find(UInt64(symbol.imageOffset)) {
      symbol.name = found.name
      symbol.nameLength = found.length
      symbol.functionOffset = symbol.imageOffset &- UInt(found.start)
    }
    return symbol
  }

  /// Unmaps the files.
  mutating func close() {
    for index in 0..<count { images[index].unmap() }
    count = 0
  }

  private mutating func mapped(_ query: ImageQuery, isMain: Bool) -> Int {
    for index in 0..<count where images[index].headers == query.headers { return index }
    if count == Self.capacity {
      count -= 1
      images[count].unmap()
    }
    images[count] = MappedImage(headers: query.headers, path: query.path, isMain: isMain)
    count += 1
    return count - 1
  }
}

/// AT_EXECFN: the path that was given to execve.
private let auxExecutableName: UInt = 31

/// The search for the loaded image around an address.
private struct ImageQuery {
  let address: UInt
  var isFound = false
  var path: UnsafePointer<CChar>?
  var base: UInt = 0
  var headers: UnsafeRawPointer?

  init(address: UInt) {
    self.address = address
  }

  /// Looks at one image; true when it holds the address.
  mutating func visit(path: UnsafePointer<CChar>?, base: UInt, headers: UnsafeRawPointer, count: Int) -> Bool {
    for index in 0..<count {
      // Elf64_Phdr: type at 0, virtual address at 16, size in memory at 40; 56 bytes in all.
      let header = headers + index * 56
      guard header.load(as: UInt32.self) == 1 else { continue }  // PT_LOAD
      let start = base &+ UInt(header.load(fromByteOffset: 16, as: UInt64.self))
      let size = UInt(header.load(fromByteOffset: 40, as: UInt64.self))
      guard address >= start && address - start < size else { continue }
      isFound = true
      self.path = path
      self.base = base
      self.headers = headers
      return true
    }
    return false
  }
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

/// One image's file in memory, and where its symbols are. Every offset that the file gives is checked against its size:
/// the file on disk may not be the one that was loaded.
private struct MappedImage {
  struct Match {
    var name: UnsafePointer<CChar>
    var length: Int
    var start: UInt64
    var end: UInt64
  }

  /// The image's program headers in memory: its identity. Nil in an unused entry.
  private(set) var headers: UnsafeRawPointer?
  private var file = UnsafeRawBufferPointer(start: nil, count: 0)
  private var symbols = UnsafeBufferPointer<ELFSymbol>(start: nil, count: 0)
  private var strings = UnsafeRawBufferPointer(start: nil, count: 0)
  /// The last answer: a recursion asks for the same function again and again.
  private var last: Match?

  init() {}

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
    // .symtab (2) has every function, .dynsym (11) the exported ones.
    if !findSymbols(ofType: 2) { _ = findSymbols(ofType: 11) }
  }

  mutating func unmap() {
    if let start = file.baseAddress { _ = apus_munmap(UnsafeMutableRawPointer(mutating: start), file.count) }
    self = MappedImage()
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
    guard let best = best?.pointee, let text = name(at: Int(best.name)) else { return nil }
    let match = Match(
      name: text.start, length: text.length, start: best.value,
      end: bestIsSized ? best.value &+ best.size : best.value)
    last = match
    return match
  }

  private func name(at offset: Int) -> (start: UnsafePointer<CChar>, length: Int)? {
    guard let base = strings.baseAddress, offset < strings.count else { return nil }
    var end = offset
    while end < strings.count && base.load(fromByteOffset: end, as: UInt8.self) != 0 { end += 1 }
    guard end < strings.count, end > offset else { return nil }
    return ((base + offset).assumingMemoryBound(to: CChar.self), end - offset)
  }

  /// Elf64_Ehdr: section headers at 40, their size at 58 and number at 60. Elf64_Shdr: type at 4, offset at 24, size
  /// at 32, linked section at 40.
  private mutating func findSymbols(ofType type: UInt32) -> Bool {
    guard word(0, as: UInt32.self) == 0x464c_457f, word(4, as: UInt8.self) == 2,  // "\u{7f}ELF", 64 bits
      let tableOffset = word(40, as: UInt64.self), let size = word(58, as: UInt16.self),
      let number = word(60, as: UInt16.self), let table = Int(exactly: tableOffset), table < file.count
    else { return false }
    for index in 0..<Int(number) {
      let header = table + index * Int(size)
      guard word(header + 4, as: UInt32.self) == type, let symbols = section(at: header),
        let link = word(header + 40, as: UInt32.self), link < number,
        let strings = section(at: table + Int(link) * Int(size)),
        let start = symbols.baseAddress, Int(bitPattern: start) % MemoryLayout<ELFSymbol>.alignment == 0
      else { continue }
      let stride = MemoryLayout<ELFSymbol>.stride
      self.symbols = UnsafeBufferPointer(
        start: start.assumingMemoryBound(to: ELFSymbol.self), count: symbols.count / stride)
      self.strings = strings
      return true
    }
    return false
  }

  private func section(at header: Int) -> UnsafeRawBufferPointer? {
    guard let offsetWord = word(header + 24, as: UInt64.self), let sizeWord = word(header + 32, as: UInt64.self),
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
