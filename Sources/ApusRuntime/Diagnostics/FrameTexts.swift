import CApus

/// The text of frames, each made once: a dump of 100,000 goroutines shows the same few functions again and again, and
/// looking an address up reads a whole symbol table.
///
/// Text and table lie in one mapping of the kernel's, of which only what is used costs memory. When either is full,
/// further addresses are looked up each time.
struct FrameTexts: ~Copyable {
  /// What is known of one address.
  private struct Frame {
    var address: UInt
    /// The functions at it, innermost first: each a `Piece` and its text. Nil where there was no room for them.
    var start: UnsafeMutableRawPointer?
    var count = 0
    /// A function of `Park`.
    var isParking = false
  }

  /// Stands before the text of a function.
  private struct Piece {
    var length: UInt32
    /// Shown only by `GOTRACEBACK=system`.
    var isRuntime: Bool
    /// One of the functions `go`: no place where a goroutine is created, but what creates it there.
    var isGo: Bool
  }

  private static let slots = 8192
  private static let limit = slots / 2
  private static let textSize = 8 << 20

  private var symbols = SymbolTable()
  private let memory: UnsafeMutableRawPointer?
  private var used = 0
  private var count = 0
  /// A fatal report goes on where the demangler does not.
  private let isGuarded: Bool

  init(guarded: Bool) {
    memory = apus_mmap(Self.slots * MemoryLayout<Frame>.stride + Self.textSize)
    isGuarded = guarded
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

  /// Writes two lines for each function at `address`, innermost first: its name, and, after a tab, file and line, or, where
  /// these are not known, the image and the address in it that addr2line takes. The runtime's only with `showsRuntime`.
  mutating func write(_ address: UInt, to writer: inout ReportWriter, showsRuntime: Bool) {
    let frame = frame(at: address)
    if let start = frame.start {
      Self.write(start, frame.count, to: &writer, showsRuntime: showsRuntime)
      return
    }
    withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 8) { buffer in
      let (symbol, frames) = symbols.lookUp(address)
      var room = buffer
      let count = Self.compose(symbol, frames, address, &room, guarded: isGuarded).count
      Self.write(buffer.baseAddress.unsafelyUnwrapped, count, to: &writer, showsRuntime: showsRuntime)
    }
  }

  private static func write(
    _ start: UnsafeMutableRawPointer, _ count: Int, to writer: inout ReportWriter, showsRuntime: Bool
  ) {
    var next = start
    for _ in 0..<count {
      let piece = next.load(as: Piece.self)
      let text = UnsafeRawBufferPointer(start: next + MemoryLayout<Piece>.size, count: Int(piece.length))
      if showsRuntime || !piece.isRuntime { writer.write(bytes: text) }
      next += stride(of: Int(piece.length))
    }
  }

  /// Writes the line `created by FUNCTION in goroutine CREATOR` and the one of its place, for a goroutine that was created at
  /// `address`: of functions inlined into each other there, the innermost one that is the program's.
  mutating func write(creationAt address: UInt, by creator: UInt64, to writer: inout ReportWriter) {
    guard var next = frame(at: address).start else {
      writer.write("created by goroutine ")
      writer.write(creator)
      writer.write("\n")
      return
    }
    let count = frame(at: address).count
    for index in 0..<count {
      let piece = next.load(as: Piece.self)
      if index + 1 == count || !(piece.isRuntime || piece.isGo) {
        let text = UnsafeRawBufferPointer(start: next + MemoryLayout<Piece>.size, count: Int(piece.length))
        let end = text.firstIndex(of: UInt8(ascii: "\n")) ?? text.count
        writer.write("created by ")
        writer.write(bytes: UnsafeRawBufferPointer(rebasing: text.prefix(end)))
        writer.write(" in goroutine ")
        writer.write(creator)
        writer.write(bytes: UnsafeRawBufferPointer(rebasing: text.dropFirst(end)))
        return
      }
      next += Self.stride(of: Int(piece.length))
    }
  }

  /// What the compiler calls the check that failed at `address`, from the debug information; nil when there is none.
  mutating func failure(at address: UInt) -> UnsafePointer<CChar>? {
    let frames = symbols.lookUp(address).frames
    for index in 0..<frames.count {
      if let name = frames[index].name, FunctionName(name).isFailure { return name }
    }
    return nil
  }

  /// The frame at `address`, without a text where there is no room for it.
  private mutating func frame(at address: UInt) -> Frame {
    guard let table = memory?.assumingMemoryBound(to: Frame.self) else { return Frame(address: address) }
    // Multiplied by the golden ratio: addresses differ in their low bits only.
    var slot = Int((UInt64(address) &* 0x9e37_79b9_7f4a_7c15) >> 51) & (Self.slots - 1)
    while table[slot].address != 0 {
      if table[slot].address == address { return table[slot] }
      slot = (slot + 1) & (Self.slots - 1)
    }
    let (symbol, frames) = symbols.lookUp(address)
    var frame = Frame(address: address)
    if let name = symbol.name { frame.isParking = FunctionName(name).isParking }
    if count < Self.limit {
      addText(symbol, frames, to: &frame)
      table[slot] = frame
      count += 1
    }
    return frame
  }

  /// Makes the text of a frame in the mapping, if there is room for all of it.
  private mutating func addText(_ symbol: Symbol, _ frames: SourceFrames, to frame: inout Frame) {
    guard let memory else { return }
    let start = memory + Self.slots * MemoryLayout<Frame>.stride + used
    var room = UnsafeMutableRawBufferPointer(start: start, count: Self.textSize - used)
    let made = Self.compose(symbol, frames, frame.address, &room, guarded: isGuarded)
    guard made.isWhole else { return }
    used = Self.textSize - room.count
    frame.start = start
    frame.count = made.count
  }

  /// Writes the pieces into `room`, of which the rest is left.
  private static func compose(
    _ symbol: Symbol, _ frames: SourceFrames, _ address: UInt, _ room: inout UnsafeMutableRawBufferPointer,
    guarded: Bool
  ) -> (count: Int, isWhole: Bool) {
    var count = 0
    var index = max(frames.count - 1, 0)
    while index >= 0 {
      let frame = index < frames.count ? frames[index] : SourceFrame()
      // The symbol is the better name of what has the code: specialised functions are called like the original there.
      let name = index == 0 ? symbol.name ?? frame.name : frame.name
      index -= 1
      if let name, FunctionName(name).isFailure { continue }
      // An adapter around a closure that is inlined into it says nothing, and has no line.
      if index < 0, count > 0, let name, FunctionName(name).isPartialApply { continue }
      guard room.count > MemoryLayout<Piece>.stride else { return (count, false) }
      var text = BoundedText(UnsafeMutableRawBufferPointer(rebasing: room.dropFirst(MemoryLayout<Piece>.size)))
      var (isRuntime, isGo) = (false, false)
      if let name {
        isRuntime = FunctionName(name).isOfRuntime
        isGo = FunctionName(name).isGo
        FunctionName(name).write(to: &text, guarded: guarded)
      } else {
        text.add("?(...)")
      }
      text.add("\n\t")
      let offset = index < 0 ? symbol.functionOffset : 0
      FramePlace(symbol, frame.place, address: address, offset: offset).write(to: &text)
      text.add("\n")
      room.storeBytes(of: Piece(length: UInt32(text.count), isRuntime: isRuntime, isGo: isGo), as: Piece.self)
      count += 1
      if !text.isWhole { return (count, false) }
      room = UnsafeMutableRawBufferPointer(rebasing: room.dropFirst(min(stride(of: text.count), room.count)))
    }
    return (count, true)
  }

  /// How far a piece with `length` bytes of text is from the next.
  private static func stride(of length: Int) -> Int { (MemoryLayout<Piece>.size + length + 7) & ~7 }
}
