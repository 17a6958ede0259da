import ApusRuntime
import CApus
import Testing

/// A small vDSO in memory: one PT_LOAD from 0, a dynamic section, three symbols, both hash tables, versions.
private struct FakeImage {
  static let size = 4096
  static let dynamic = 0x100
  static let symbols = 0x200
  static let strings = 0x300
  static let hash = 0x400
  static let gnuHash = 0x480
  static let versions = 0x500
  static let definitions = 0x540
  static let code = 0x800

  let memory: UnsafeMutableRawBufferPointer
  var header: UInt { UInt(bitPattern: memory.baseAddress!) }

  init(gnu: Bool = true, virtualAddress: UInt = 0, version: String = "\(VirtualSharedObject.version)") {
    memory = .allocate(byteCount: Self.size, alignment: 4096)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    put(0, [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] as [UInt8])
    put(32, UInt(64))
    put(54, UInt16(56))
    put(56, UInt16(2))
    // PT_LOAD
    put(64, UInt32(1))
    put(64 + 16, virtualAddress)
    put(64 + 32, UInt(Self.size))
    put(64 + 40, UInt(Self.size))
    // PT_DYNAMIC
    put(120, UInt32(2))
    put(120 + 8, UInt(Self.dynamic))
    var tags: [(UInt, Int)] = [
      (5, Self.strings), (6, Self.symbols), (0x6FFF_FFF0, Self.versions), (0x6FFF_FFFC, Self.definitions),
    ]
    tags.append(gnu ? (0x6FFF_FEF5, Self.gnuHash) : (4, Self.hash))
    for (index, tag) in tags.enumerated() {
      put(Self.dynamic + 16 * index, tag.0)
      put(Self.dynamic + 16 * index + 8, virtualAddress &+ UInt(tag.1))
    }
    // Strings.
    #if arch(arm64)
      let names = ["__kernel_clock_gettime", "__kernel_getrandom"]
    #else
      let names = ["__vdso_clock_gettime", "__vdso_getrandom"]
    #endif
    var offsets: [Int] = []
    var end = 1
    for name in names + [version] {
      offsets.append(end)
      put(Self.strings + end, Array(name.utf8))
      end += name.utf8.count + 1
    }
    // Symbols 1 and 2; 0 is the empty one.
    for index in 0..<2 {
      let symbol = Self.symbols + 24 * (index + 1)
      put(symbol, UInt32(offsets[index]))
      put(symbol + 4, UInt8(0x12))
      put(symbol + 6, UInt16(1))
      put(symbol + 8, virtualAddress &+ UInt(Self.code + 16 * index))
      put(Self.versions + 2 * (index + 1), UInt16(2))
    }
    // DT_HASH: one bucket, the chain 1 -> 2.
    put(Self.hash, [1, 3, 1, 0, 2, 0] as [UInt32])
    // DT_GNU_HASH: one bucket, symbols from 1 on, one word of filter.
    put(Self.gnuHash, [1, 1, 1, 0, 0, 0, 1] as [UInt32])
    for (index, name) in names.enumerated() {
      let hash = name.withCString { ELFHash.gnu(ByteText(cString: $0)) }
      put(Self.gnuHash + 28 + 4 * index, index == 1 ? hash | 1 : hash & ~1)
    }
    // Version definitions: the file's own, then ours.
    put(Self.definitions + 2, UInt16(1))
    put(Self.definitions + 4, UInt16(1))
    put(Self.definitions + 16, UInt32(28))
    let ours = Self.definitions + 28
    put(ours + 4, UInt16(2))
    put(ours + 8, version.withCString { ELFHash.systemV(ByteText(cString: $0)) })
    put(ours + 12, UInt32(20))
    put(ours + 20, UInt32(offsets[2]))
  }

  func put<T: BitwiseCopyable>(_ offset: Int, _ value: T) {
    memory.storeBytes(of: value, toByteOffset: offset, as: T.self)
  }

  func put<T: BitwiseCopyable>(_ offset: Int, _ values: [T]) {
    for (index, value) in values.enumerated() { put(offset + index * MemoryLayout<T>.size, value) }
  }

  func parse() -> VirtualSharedObject? { VirtualSharedObject(header: header, mappedSize: UInt(Self.size)) }
}

@Suite struct BootVirtualSharedObjectTests {
  @Test(arguments: [true, false], [0, 0xFFFF_FFFF_FF70_0000] as [UInt])
  func findsSymbols(gnu: Bool, virtualAddress: UInt) throws {
    let image = FakeImage(gnu: gnu, virtualAddress: virtualAddress)
    defer { image.memory.deallocate() }
    let object = try #require(image.parse())
    #expect(object.usesGNUHash == gnu)
    #expect(object.clockGettime == image.header + UInt(FakeImage.code))
    #expect(object.getRandom == image.header + UInt(FakeImage.code) + 16)
    #expect(object.getTimeOfDay == 0)
    #expect(object.contains(object.clockGettime))
    #expect(!object.contains(image.header - 1))
    #expect(!object.contains(image.header + UInt(FakeImage.size)))
  }

  @Test func refusesOtherVersions() throws {
    let image = FakeImage(version: "LINUX_9.9")
    defer { image.memory.deallocate() }
    #expect(try #require(image.parse()).clockGettime == 0)
    let other = FakeImage()
    defer { other.memory.deallocate() }
    other.put(FakeImage.versions + 2, UInt16(1))
    let object = try #require(other.parse())
    #expect(object.clockGettime == 0)
    #expect(object.getRandom != 0)
  }

  /// Offsets into the image and the byte to put there.
  private static let malformedHeaders: [(Int, UInt8)] = [
    (0, 0), (4, 1), (5, 2), (39, 0x7F), (54, 8), (56, 0), (64, 9), (64 + 39, 0x7F), (64 + 33, 0), (120 + 14, 0x7F),
    (64 + 9, 1),
  ]

  @Test(arguments: malformedHeaders) func refusesMalformedHeaders(offset: Int, byte: UInt8) {
    let image = FakeImage()
    defer { image.memory.deallocate() }
    image.put(offset, byte)
    #expect(image.parse() == nil)
  }

  @Test func refusesNoHeader() { #expect(VirtualSharedObject(header: 0) == nil) }

  @Test func survivesCircularHashChain() throws {
    let image = FakeImage(gnu: false)
    defer { image.memory.deallocate() }
    image.put(FakeImage.hash + 12 + 4, UInt32(1))  // 1 -> 1
    let object = try #require(image.parse())
    #expect(object.clockGettime != 0)
    #expect(object.getRandom == 0)
  }

  @Test func survivesEmptyTables() throws {
    for gnu in [true, false] {
      let image = FakeImage(gnu: gnu)
      defer { image.memory.deallocate() }
      image.put(gnu ? FakeImage.gnuHash : FakeImage.hash, UInt32(0))
      #expect(try #require(image.parse()).clockGettime == 0)
    }
  }

  @Test func ignoresSymbolsThatPointOutside() throws {
    let image = FakeImage()
    defer { image.memory.deallocate() }
    image.put(FakeImage.symbols + 24 + 8, UInt(FakeImage.size))
    #expect(try #require(image.parse()).clockGettime == 0)
  }

  /// Every image with one word replaced by something wild is parsed without a crash, and no function lies outside. The
  /// image ends where unmapped memory begins: a read beyond it would be a fault.
  @Test(arguments: [true, false]) func survivesAnyWord(gnu: Bool) throws {
    let image = FakeImage(gnu: gnu)
    defer { image.memory.deallocate() }
    let reserved = try #require(apus_mmap_reserve(8192))
    defer { apus_munmap(reserved, 8192) }
    try #require(apus_mprotect_rw(reserved, 4096) == 0)
    let copy = UnsafeMutableRawBufferPointer(start: reserved, count: 4096)
    for wild in [0, 1, 0xFFF, 0x1000, 0x7FFF_FFFF, 0xFFFF_FFF0, 0xFFFF_FFFF] as [UInt32] {
      for offset in stride(from: 0, to: 0x600, by: 2) {
        copy.copyMemory(from: UnsafeRawBufferPointer(image.memory))
        copy.storeBytes(of: wild, toByteOffset: offset, as: UInt32.self)
        guard let object = VirtualSharedObject(header: UInt(bitPattern: reserved), mappedSize: 4096) else { continue }
        for address in [object.clockGettime, object.getRandom] where address != 0 {
          #expect(object.contains(address))
        }
      }
    }
  }

  @Test func readsTheKernelsOwn() throws {
    let header = UInt(apus_getauxval(33))
    try #require(header != 0)
    let object = try #require(VirtualSharedObject(header: header))
    try #require(object.clockGettime != 0)
    let function = unsafeBitCast(object.clockGettime, to: apus_clock_gettime_fn.self)
    let before = apus_nanotime(nil)
    let direct = apus_nanotime(function)
    let after = apus_nanotime(nil)
    #expect(before <= direct && direct <= after)
  }
}
