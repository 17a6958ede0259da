import CApus

/// The text of frames, each made once: a dump of 100,000 goroutines shows the same few functions again and again, and
/// looking an address up reads a whole symbol table.
///
/// Text and table lie in one mapping of the kernel's, of which only what is used costs memory. When either is full,
/// further addresses are looked up each time.
struct FrameTexts: ~Copyable {
  /// What is known of the function at one address.
  private struct Frame {
    fileprivate var address: UInt
    fileprivate var start: UnsafeRawPointer?
    fileprivate var count = 0
    /// A function of the runtime, shown only by `GOTRACEBACK=system`.
    fileprivate var isRuntime: Bool
    /// A function of `Park`.
    fileprivate var isParking: Bool

    fileprivate init(_ address: UInt, _ symbol: Symbol) {
      self.address = address
      let name = symbol.name.map { ByteText(start: UnsafeRawPointer($0), count: symbol.nameLength) } ?? ByteText("")
      isRuntime = name.isOfRuntime
      isParking = name.starts(with: "$s11ApusRuntime4ParkO")
    }
  }

  private static let slots = 8192
  private static let limit = slots / 2
  private static let textSize = 8 << 20

  private var symbols = SymbolTable()
  private let memory: UnsafeMutableRawPointer?
  private var used = 0
  private var count = 0
  /// Whether demangled names are given back to malloc. Not in a fatal report, for which free is one more thing that can
  /// fail.
  private let frees: Bool

  init(frees: Bool) {
    memory = apus_mmap(Self.slots * MemoryLayout<Frame>.stride + Self.textSize)
    self.frees = frees
  }

  /// Gives the memory and the mapped files back.
  mutating func close() {
    if let memory { _ = apus_munmap(memory, Self.slots * MemoryLayout<Frame>.stride + Self.textSize) }
    symbols.close()
  }

  /// How many of the innermost frames are the way from `Park` to the switch. In debug builds functions of the standard
  /// library are among them.
  mutating func countOfParking(_ addresses: UnsafeBufferPointer<UInt>) -> Int {
    let nearest = addresses.prefix(24)
    return (nearest.lastIndex { frame(at: $0).isParking } ?? -1) + 1
  }

  /// Writes the two lines of the frame at `address`: the function, and, after a tab, the image and the address in it that
  /// addr2line takes. Nothing when it is one of the runtime's and `showsRuntime` is false.
  mutating func write(_ address: UInt, to writer: inout ReportWriter, showsRuntime: Bool) {
    let frame = frame(at: address)
    if frame.isRuntime && !showsRuntime { return }
    if let start = frame.start {
      writer.write(bytes: UnsafeRawBufferPointer(start: start, count: frame.count))
    } else {
      Self.write(symbols.lookUp(address), to: &writer, frees: frees)
    }
  }

  /// The frame at `address`, without a text where there is no room for it.
  private mutating func frame(at address: UInt) -> Frame {
    guard let table = memory?.assumingMemoryBound(to: Frame.self) else {
      return Frame(address, symbols.lookUp(address))
    }
    // Multiplied by the golden ratio: addresses differ in their low bits only.
    var slot = Int((UInt64(address) &* 0x9e37_79b9_7f4a_7c15) >> 51) & (Self.slots - 1)
    while table[slot].address != 0 {
      if table[slot].address == address { return table[slot] }
      slot = (slot + 1) & (Self.slots - 1)
    }
    let symbol = symbols.lookUp(address)
    var frame = Frame(address, symbol)
    if count < Self.limit {
      addText(of: symbol, to: &frame)
      table[slot] = frame
      count += 1
    }
    return frame
  }

  /// Makes the text of a frame in the mapping, if there is room for it.
  private mutating func addText(of symbol: Symbol, to frame: inout Frame) {
    guard let memory else { return }
    let start = memory + Self.slots * MemoryLayout<Frame>.stride + used
    var text = BoundedText(UnsafeMutableRawBufferPointer(start: start, count: Self.textSize - used))
    let demangled = symbol.name.flatMap { apus_demangle($0, symbol.nameLength) }
    text.addFunction(symbol, demangled)
    if frees, let demangled { apus_free(demangled) }
    text.add("\n\t")
    text.addPlace(symbol)
    text.add("\n")
    guard text.isWhole else { return }
    used += text.count
    frame.start = UnsafeRawPointer(start)
    frame.count = text.count
  }

  /// The same two lines without a place to keep them.
  private static func write(_ symbol: Symbol, to writer: inout ReportWriter, frees: Bool) {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      var text = BoundedText(buffer)
      let demangled = symbol.name.flatMap { apus_demangle($0, symbol.nameLength) }
      text.addFunction(symbol, demangled)
      if frees, let demangled { apus_free(demangled) }
      writer.write(bytes: text.bytes)
      text = BoundedText(buffer)
      text.add("\n\t")
      text.addPlace(symbol)
      text.add("\n")
      writer.write(bytes: text.bytes)
    }
  }
}

extension ByteText {
  /// Whether the function of this mangled name is the runtime's own (Go's `showframe`): of the module ApusRuntime or the C
  /// and assembly beneath it, or what stands between a goroutine's first frame and its body, or a fatal report and the
  /// function that asked for it; or one of the compiler's adapters between calling conventions, whose names end in `TR`.
  /// The public functions of Apus are not.
  fileprivate var isOfRuntime: Bool {
    starts(with: "$s11ApusRuntime") || starts(with: "$sSp11ApusRuntime") || isOfC
      || starts(with: "$s4Apus6LaunchO") || starts(with: "$s4Apus5FatalO")
      || (starts(with: "$s") && dropFirst(count - 2).equals("TR"))
  }

  /// One of CApus's functions that stand on a goroutine's stack; by whole names, since a program's own may begin so.
  private var isOfC: Bool {
    equals("apus_call_main") || equals("apus_goroutine_main") || equals("apus_goexit") || equals("apus_goexit1")
      || equals("apus_fault_entry") || equals("apus_fault_main") || equals("apus_call_on_stack")
      || equals("apus_unwind") || equals("rt0_main")
  }

  fileprivate func starts(with text: StaticString) -> Bool { prefix(text.utf8CodeUnitCount).equals(text) }
}

/// Text in memory of a fixed size. What does not fit is left out.
private struct BoundedText {
  private let memory: UnsafeMutableRawBufferPointer
  private(set) var count = 0
  /// Everything did fit.
  private(set) var isWhole = true

  init(_ memory: UnsafeMutableRawBufferPointer) {
    self.memory = memory
  }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory.prefix(count)) }

  mutating func add(byte: UInt8) {
    guard count < memory.count else {
      isWhole = false
      return
    }
    memory[count] = byte
    count += 1
  }

  mutating func add(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { add(byte: text.utf8Start[index]) }
  }

  mutating func add(_ text: UnsafePointer<CChar>) {
    var next = text
    while next.pointee != 0 {
      add(byte: UInt8(bitPattern: next.pointee))
      next += 1
    }
  }

  mutating func addFunction(_ symbol: Symbol, _ demangled: UnsafeMutablePointer<CChar>?) {
    if let demangled {
      add(UnsafePointer(demangled))
    } else if let name = symbol.name {
      add(name)
      add("(...)")
    } else {
      add("?(...)")
    }
  }

  mutating func addPlace(_ symbol: Symbol) {
    if let path = symbol.path {
      add(Self.lastComponent(of: path))
      add("+")
    }
    add("0x")
    var shift = UInt.bitWidth - 4
    while shift > 0 && symbol.imageOffset >> UInt(shift) == 0 { shift -= 4 }
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: symbol.imageOffset >> UInt(shift) & 15)
      add(byte: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      shift -= 4
    }
  }

  private static func lastComponent(of path: UnsafePointer<CChar>) -> UnsafePointer<CChar> {
    var start = path
    var next = path
    while next.pointee != 0 {
      if next.pointee == CChar(bitPattern: UInt8(ascii: "/")) { start = next + 1 }
      next += 1
    }
    return start
  }
}
