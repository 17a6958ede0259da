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
    var symbol = Symbol(path: nil, imageOffset: address, name: nil, nameLength: 0, functionOffset: 0)
    var image = apus_image()
    guard ModuleData.findImage(at: address, &image) else { return (symbol, SourceFrames()) }
    symbol.imageOffset = address &- image.base
    symbol.path = image.path
    let index = mapped(image)
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

  private mutating func mapped(_ image: apus_image) -> Int {
    for index in 0..<count where images[index].headers == image.headers { return index }
    if count == Self.capacity {
      // Its tables stay in the arena, out of use.
      count -= 1
      images[count].unmap()
    }
    images[count] = ImageFile(headers: image.headers, path: image.path, isMain: image.is_main)
    count += 1
    return count - 1
  }
}
