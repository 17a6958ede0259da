/// An ELF image in memory that is only read inside its bounds.
package struct ELFImage {
  /// The image is [start, start + size).
  package let start: UInt
  package let size: UInt

  package init(start: UInt, size: UInt) {
    self.start = start
    self.size = size
  }

  /// The value at `address`, aligned or not; nil unless all of it is inside the image.
  @inline(__always)
  package func load<T: BitwiseCopyable>(_ address: UInt, _ type: T.Type) -> T? {
    // Wraps for an address below the start, and is then above every size.
    let offset = address &- start
    let length = UInt(MemoryLayout<T>.size)
    guard size >= length, offset <= size - length else { return nil }
    return UnsafeRawPointer(bitPattern: address)?.loadUnaligned(as: T.self)
  }

  /// Whether the zero-terminated string at `address` lies inside and is `text`.
  package func string(at address: UInt, equals text: StaticString) -> Bool {
    let text = ByteText(text)
    let offset = address &- start
    guard offset < size, UInt(text.count) < size - offset else { return false }
    guard let bytes = UnsafeRawPointer(bitPattern: address) else { return false }
    return ByteText(start: bytes, count: text.count).equals(text)
      && bytes.load(fromByteOffset: text.count, as: UInt8.self) == 0
  }
}

/// The two hash functions of ELF's symbol tables.
package enum ELFHash {
  /// Of DT_HASH and of version names (System V ABI).
  package static func systemV(_ name: ByteText) -> UInt32 {
    var hash: UInt32 = 0
    var index = 0
    while index < name.count {
      hash = hash << 4 &+ UInt32(name[index])
      let high = hash & 0xF000_0000
      hash = (hash ^ high >> 24) & ~high
      index += 1
    }
    return hash
  }

  /// Of DT_GNU_HASH.
  package static func gnu(_ name: ByteText) -> UInt32 {
    var hash: UInt32 = 5381
    var index = 0
    while index < name.count {
      hash = hash &* 33 &+ UInt32(name[index])
      index += 1
    }
    return hash
  }
}

/// Where the dynamic section says the tables are; 0 for those that are absent. Addresses are this process's.
struct DynamicTables {
  private(set) var strings: UInt = 0
  private(set) var symbols: UInt = 0
  private(set) var hash: UInt = 0
  private(set) var gnuHash: UInt = 0
  private(set) var versionOfSymbol: UInt = 0
  private(set) var versionDefinitions: UInt = 0
  /// The number by which `versionOfSymbol` names `VirtualSharedObject.version`; nil when that is not defined.
  private(set) var versionIndex: UInt16?
  /// Whether the image has versions at all.
  var checksVersions: Bool { versionOfSymbol != 0 && versionDefinitions != 0 }

  /// Reads the section at `address` up to DT_NULL. nil when it leaves the image or lacks a table that a lookup needs.
  init?(_ image: ELFImage, at address: UInt, loadOffset: UInt) {
    var entry = address
    while true {
      guard let tag = image.load(entry, UInt.self), let value = image.load(entry &+ 8, UInt.self) else { return nil }
      if tag == 0 { break }
      switch tag {
      case 4: hash = loadOffset &+ value
      case 5: strings = loadOffset &+ value
      case 6: symbols = loadOffset &+ value
      case 0x6FFF_FEF5: gnuHash = loadOffset &+ value
      case 0x6FFF_FFF0: versionOfSymbol = loadOffset &+ value
      case 0x6FFF_FFFC: versionDefinitions = loadOffset &+ value
      default: break
      }
      entry &+= 16
    }
    if strings == 0 || symbols == 0 || (hash == 0 && gnuHash == 0) { return nil }
    if checksVersions { findVersion(image) }
  }

  private mutating func findVersion(_ image: ELFImage) {
    let wanted = ELFHash.systemV(ByteText(VirtualSharedObject.version))
    var definition = versionDefinitions
    while let flags = image.load(definition &+ 2, UInt16.self),
      let index = image.load(definition &+ 4, UInt16.self),
      let hash = image.load(definition &+ 8, UInt32.self),
      let names = image.load(definition &+ 12, UInt32.self),
      let next = image.load(definition &+ 16, UInt32.self)
    {
      // VER_FLG_BASE is the version of the file itself.
      if flags & 1 == 0, hash == wanted,
        let name = image.load(definition &+ UInt(names), UInt32.self),
        image.string(at: strings &+ UInt(name), equals: VirtualSharedObject.version)
      {
        versionIndex = index & 0x7FFF
        return
      }
      // Always forward, so that the walk ends at the image's end at the latest.
      if next == 0 { return }
      definition &+= UInt(next)
    }
  }
}
