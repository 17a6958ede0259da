/// The functions of the shared object that the kernel maps into every process (Go's `vdsoInitFromSysinfoEhdr` and
/// `vdsoParseSymbols`).
///
/// Parses the ELF image in memory and nothing else: no allocation, no libc. An image that contradicts itself gives nil
/// or a function less, and nothing outside of it is read.
package struct VirtualSharedObject {
  /// What to add to an address of the image to get one of this process.
  package let loadOffset: UInt
  /// The mapped image, [loadStart, loadEnd): a pc in it is in the vDSO.
  package let loadStart: UInt
  package let loadEnd: UInt
  /// Whether symbols were found by DT_GNU_HASH, else by DT_HASH.
  package let usesGNUHash: Bool

  /// Addresses of the functions; 0 where the kernel offers none.
  package private(set) var clockGettime: UInt = 0
  package private(set) var getTimeOfDay: UInt = 0
  package private(set) var time: UInt = 0
  package private(set) var getRandom: UInt = 0

  /// The version that the functions must carry.
  package static var version: StaticString {
    #if arch(arm64)
      "LINUX_2.6.39"
    #else
      "LINUX_2.6"
    #endif
  }

  /// Parses the image whose ELF header is at `header` (AT_SYSINFO_EHDR). nil when that is 0 or no sound image.
  ///
  /// - Parameter mappedSize: how many bytes from `header` on may be read. Before the image has said its own size, one
  ///   page is certain, since the kernel maps whole pages; a caller who gives a size is never read beyond it.
  package init?(header: UInt, mappedSize: UInt? = nil) {
    if header == 0 { return nil }
    let head = ELFImage(start: header, size: min(mappedSize ?? 4096, 4096))
    guard let (segment, dynamicOffset) = Self.segments(of: head) else { return nil }
    // The segment that is loaded first has to hold the ELF header, since its address is all that we were told.
    guard segment.offset == 0, segment.size >= 64, segment.size <= mappedSize ?? 1 << 24 else { return nil }

    let image = ELFImage(start: header, size: segment.size)
    loadStart = header
    loadEnd = header + segment.size
    loadOffset = header &- segment.virtualAddress
    guard let tables = DynamicTables(image, at: header &+ dynamicOffset, loadOffset: loadOffset) else { return nil }
    usesGNUHash = tables.gnuHash != 0

    #if arch(arm64)
      clockGettime = find("__kernel_clock_gettime", image, tables)
      getTimeOfDay = find("__kernel_gettimeofday", image, tables)
      getRandom = find("__kernel_getrandom", image, tables)
    #else
      clockGettime = find("__vdso_clock_gettime", image, tables)
      getTimeOfDay = find("__vdso_gettimeofday", image, tables)
      time = find("__vdso_time", image, tables)
      getRandom = find("__vdso_getrandom", image, tables)
    #endif
  }

  /// Whether `pc` is in the vDSO (Go's `inVDSOPage`).
  package func contains(_ pc: UInt) -> Bool { pc >= loadStart && pc < loadEnd }

  private struct Segment {
    var offset: UInt
    var virtualAddress: UInt
    var size: UInt
  }

  /// The first PT_LOAD and the file offset of PT_DYNAMIC.
  private static func segments(of head: ELFImage) -> (Segment, UInt)? {
    let header = head.start
    guard head.load(header, UInt32.self) == 0x464C_457F,  // 0x7F 'E' 'L' 'F'
      head.load(header + 4, UInt16.self) == 0x0102,  // ELFCLASS64, ELFDATA2LSB
      let tableOffset = head.load(header + 32, UInt.self),
      let entrySize = head.load(header + 54, UInt16.self), entrySize >= 56,
      let count = head.load(header + 56, UInt16.self)
    else { return nil }

    var loaded: Segment?
    var dynamicOffset: UInt?
    var entry = header &+ tableOffset
    for _ in 0..<count {
      guard let type = head.load(entry, UInt32.self),
        let offset = head.load(entry &+ 8, UInt.self),
        let virtualAddress = head.load(entry &+ 16, UInt.self),
        let size = head.load(entry &+ 32, UInt.self)  // in the file: what is beyond has no contents to parse
      else { return nil }
      if type == 1, loaded == nil {
        loaded = Segment(offset: offset, virtualAddress: virtualAddress, size: size)
      } else if type == 2 {
        dynamicOffset = offset
      }
      entry &+= UInt(entrySize)
    }
    guard let loaded, let dynamicOffset else { return nil }
    return (loaded, dynamicOffset)
  }

  /// The address of the function `name` in the right version; 0 when there is none.
  private func find(_ name: StaticString, _ image: ELFImage, _ tables: DynamicTables) -> UInt {
    if tables.checksVersions, tables.versionIndex == nil { return 0 }
    return tables.gnuHash != 0 ? findByGNUHash(name, image, tables) : findByHash(name, image, tables)
  }

  private func findByGNUHash(_ name: StaticString, _ image: ELFImage, _ tables: DynamicTables) -> UInt {
    // Header: buckets, first symbol in the table, words of the Bloom filter, its shift. The filter only spares work
    // where most lookups fail; ours succeed.
    guard let bucketCount = image.load(tables.gnuHash, UInt32.self), bucketCount > 0,
      let firstSymbol = image.load(tables.gnuHash &+ 4, UInt32.self),
      let filterWords = image.load(tables.gnuHash &+ 8, UInt32.self)
    else { return 0 }
    let buckets = tables.gnuHash &+ 16 &+ 8 &* UInt(filterWords)
    let chains = buckets &+ 4 &* UInt(bucketCount)
    let hash = ELFHash.gnu(ByteText(name))
    guard var symbol = image.load(buckets &+ 4 &* UInt(hash % bucketCount), UInt32.self), symbol >= firstSymbol
    else { return 0 }
    // Ends at the image's end at the latest, since every step goes to the next word.
    while let found = image.load(chains &+ 4 &* UInt(symbol - firstSymbol), UInt32.self) {
      if found | 1 == hash | 1, let address = address(of: symbol, if: name, image, tables) { return address }
      if found & 1 != 0 || symbol == .max { return 0 }
      symbol += 1
    }
    return 0
  }

  private func findByHash(_ name: StaticString, _ image: ELFImage, _ tables: DynamicTables) -> UInt {
    guard let bucketCount = image.load(tables.hash, UInt32.self), bucketCount > 0,
      let chainCount = image.load(tables.hash &+ 4, UInt32.self)
    else { return 0 }
    let buckets = tables.hash &+ 8
    let chains = buckets &+ 4 &* UInt(bucketCount)
    let bucket = ELFHash.systemV(ByteText(name)) % bucketCount
    guard var symbol = image.load(buckets &+ 4 &* UInt(bucket), UInt32.self) else { return 0 }
    // A chain that is longer than the table runs in a circle.
    var steps: UInt32 = 0
    while symbol != 0, symbol < chainCount, steps < chainCount {
      if let address = address(of: symbol, if: name, image, tables) { return address }
      guard let next = image.load(chains &+ 4 &* UInt(symbol), UInt32.self) else { return 0 }
      symbol = next
      steps += 1
    }
    return 0
  }

  /// The address of symbol number `symbol` if it is a defined, global function called `name` in the right version.
  private func address(
    of symbol: UInt32, if name: StaticString, _ image: ELFImage, _ tables: DynamicTables
  ) -> UInt? {
    let entry = tables.symbols &+ 24 &* UInt(symbol)
    guard let nameOffset = image.load(entry, UInt32.self),
      let info = image.load(entry &+ 4, UInt8.self),
      let section = image.load(entry &+ 6, UInt16.self),
      let value = image.load(entry &+ 8, UInt.self)
    else { return nil }
    let type = info & 0xF
    let binding = info >> 4
    guard type == 0 || type == 2, binding == 1 || binding == 2, section != 0 else { return nil }
    guard image.string(at: tables.strings &+ UInt(nameOffset), equals: name) else { return nil }
    if tables.checksVersions {
      guard let version = image.load(tables.versionOfSymbol &+ 2 &* UInt(symbol), UInt16.self),
        version & 0x7FFF == tables.versionIndex
      else { return nil }
    }
    let address = loadOffset &+ value
    return contains(address) ? address : nil
  }
}
