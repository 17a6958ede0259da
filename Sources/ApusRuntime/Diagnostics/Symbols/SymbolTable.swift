import CApus

/// What is known of an address from the symbol table of its image.
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

/// Finds the functions that hold an address, and their places in the source: reads the symbol tables (`.symtab`, or
/// `.dynsym` in a stripped image) and the debug information of this process's ELF images from their files, without
/// malloc. Go's `findfunc` has sorted tables for it that the linker makes; this one is for reports only and scans.
struct SymbolTable: ~Copyable {
  /// How many images stay mapped. A report touches few; a further one takes the last one's place.
  private static let capacity = 8
  private var images = InlineArray<8, ImageFile>(repeating: ImageFile())
  private var count = 0
  private var arena = SymbolArena()

  init() {}

  /// What is at `address`, an address inside an instruction (not a return address): the symbol, and the functions of the
  /// source, which are none where there is no debug information.
  mutating func lookUp(_ address: UInt) -> (symbol: Symbol, frames: SourceFrames) {
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
    guard query.isFound else { return (symbol, SourceFrames()) }
    symbol.imageOffset = address &- query.base
    // The main program has no name in the dynamic linker's list.
    let isMain = query.path.map { $0.pointee == 0 } ?? true
    let executed = UnsafePointer<CChar>(bitPattern: UInt(apus_getauxval(auxExecutableName)))
    symbol.path = isMain ? executed : query.path
    let index = mapped(query, isMain: isMain)
    let found = images[index].find(UInt64(symbol.imageOffset))
    if let found {
      symbol.name = found.name
      symbol.nameLength = found.length
      symbol.functionOffset = symbol.imageOffset &- UInt(found.start)
    }
    return (symbol, images[index].sourceFrames(at: UInt64(symbol.imageOffset), found, &arena))
  }

  /// Gives the files and the tables back.
  mutating func close() {
    for index in 0..<count { images[index].unmap() }
    count = 0
    arena.close()
  }

  private mutating func mapped(_ query: ImageQuery, isMain: Bool) -> Int {
    for index in 0..<count where images[index].headers == query.headers { return index }
    if count == Self.capacity {
      // Its tables stay in the arena, out of use.
      count -= 1
      images[count].unmap()
    }
    images[count] = ImageFile(headers: query.headers, path: query.path, isMain: isMain)
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
