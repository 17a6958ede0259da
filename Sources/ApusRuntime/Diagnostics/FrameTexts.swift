import CApus

/// The text of frames, each made once: a dump of 100,000 goroutines shows the same few functions again and again, and
/// looking an address up reads a whole symbol table.
///
/// Text and table lie in one mapping of the kernel's, of which only what is used costs memory. When either is full,
/// further addresses have no text but the address.
///
/// In a fatal report what makes a text may hang or fault: the demangler allocates, and so does everything in a debug
/// build. It is given up then, and made more simply from there on.
struct FrameTexts: ~Copyable {
  /// What is known of one address.
  private struct Frame {
    var address: UInt
    /// The functions at it, innermost first: each a `Piece` and its text. Nil where there is none.
    var start: UnsafeMutableRawPointer?
    var count = 0
    /// A function of `Park`.
    var isParking = false
    /// Where there is no text: what is known of the image.
    var image = apus_image()
  }

  /// Stands before the text of a function.
  private struct Piece {
    var length: UInt32
    /// Shown only by `GOTRACEBACK=system`.
    var isRuntime: Bool
    /// One of the functions `go`: no place where a goroutine is created, but what creates it there.
    var isGo: Bool
  }

  /// How much of a text is made.
  private enum Effort {
    /// Functions as a program's author knows them, files and lines.
    case full
    /// The same with mangled names.
    case mangled
    /// Images and the addresses in them.
    case image
    /// Addresses.
    case none
  }

  private static let slots = 8192
  private static let limit = slots / 2
  private static let textSize = 8 << 20

  private var symbols = SymbolTable()
  private let memory: UnsafeMutableRawPointer?
  private var used = 0
  private var count = 0
  private var effort = Effort.full

  init() {
    memory = apus_mmap(Self.slots * MemoryLayout<Frame>.stride + Self.textSize)
  }

  /// Gives the memory and the mapped files back.
  mutating func close() {
    if let memory { _ = apus_munmap(memory, Self.slots * MemoryLayout<Frame>.stride + Self.textSize) }
    symbols.close()
  }

  /// How many of the innermost frames are the way from `Park` to the switch. In debug builds functions of the standard
  /// library are among them.
  mutating func countOfParking(_ addresses: UnsafePointer<UInt>, _ count: Int) -> Int {
    var last = 0
    var index = 0
    while index < count && index < 24 {
      if frame(at: addresses[index]).isParking { last = index + 1 }
      index += 1
    }
    return last
  }

  /// Writes two lines for each function at `address`, innermost first: its name, and, after a tab, file and line, or, where
  /// these are not known, the image and the address in it that addr2line takes. The runtime's only with `showsRuntime`.
  mutating func write(_ address: UInt, to writer: inout ReportWriter, showsRuntime: Bool) {
    let frame = frame(at: address)
    guard var next = frame.start else {
      writer.write("?(...)")
      Self.write(placeOf: frame, to: &writer)
      return
    }
    var index = 0
    while index < frame.count {
      let piece = next.load(as: Piece.self)
      if showsRuntime || !piece.isRuntime {
        writer.write(bytes: next + MemoryLayout<Piece>.size, count: Int(piece.length))
      }
      next += Self.stride(of: Int(piece.length))
      index += 1
    }
  }

  /// Writes the line `FUNCTION in goroutine CREATOR` and the one of its place, for a goroutine that was created at `address`:
  /// of functions inlined into each other there, the innermost one that is the program's. `creator`: 0 for one of which
  /// nothing is said.
  mutating func write(creationAt address: UInt, by creator: UInt64, to writer: inout ReportWriter) {
    let frame = frame(at: address)
    guard var next = frame.start else {
      writer.write("?(...)")
      Self.write(creator, to: &writer)
      Self.write(placeOf: frame, to: &writer)
      return
    }
    var index = 0
    while index < frame.count {
      let piece = next.load(as: Piece.self)
      let length = Int(piece.length)
      index += 1
      if index == frame.count || !(piece.isRuntime || piece.isGo) {
        let text = next + MemoryLayout<Piece>.size
        var end = 0
        while end < length && text.load(fromByteOffset: end, as: UInt8.self) != UInt8(ascii: "\n") { end += 1 }
        writer.write(bytes: text, count: end)
        Self.write(creator, to: &writer)
        writer.write(bytes: text + end, count: length - end)
        return
      }
      next += Self.stride(of: length)
    }
  }

  private static func write(_ creator: UInt64, to writer: inout ReportWriter) {
    if creator == 0 { return }
    writer.write(" in goroutine ")
    writer.write(creator)
  }

  private static func write(placeOf frame: Frame, to writer: inout ReportWriter) {
    writer.write("\n\t")
    if let path = frame.image.path {
      writer.write(cString: SourcePlace.lastComponent(of: path))
      writer.write("+")
      writer.write(hex: frame.address &- frame.image.base)
      writer.write(" ")
    }
    writer.write("pc=")
    writer.write(hex: frame.address)
    writer.write("\n")
  }

  /// What the compiler calls the check that failed at `address`, from the debug information; nil when there is none.
  mutating func failure(at address: UInt) -> UnsafePointer<CChar>? {
    var request = Request(kind: .failure, frame: Frame(address: address))
    serve(&request)
    return request.failure
  }

  /// The frame at `address`, without a text where there is none to be had.
  private mutating func frame(at address: UInt) -> Frame {
    guard let table = memory?.assumingMemoryBound(to: Frame.self) else { return Frame(address: address) }
    // Multiplied by the golden ratio: addresses differ in their low bits only.
    var slot = Int((UInt64(address) &* 0x9e37_79b9_7f4a_7c15) >> 51) & (Self.slots - 1)
    while table[slot].address != 0 {
      if table[slot].address == address { return table[slot] }
      slot = (slot + 1) & (Self.slots - 1)
    }
    var request = Request(kind: .text, frame: Frame(address: address))
    if count == Self.limit { return request.frame }
    serve(&request)
    table[slot] = request.frame
    count += 1
    return request.frame
  }

  /// What is to be found out, and the answer. No closure: in a debug build that would allocate.
  private struct Request {
    enum Kind {
      case text
      case failure
    }

    var kind: Kind
    var frame: Frame
    var failure: UnsafePointer<CChar>?
    var texts: UnsafeMutablePointer<FrameTexts>?
  }

  /// Finds it out, with less and less effort until that comes to its end.
  private mutating func serve(_ request: inout Request) {
    withUnsafeMutablePointer(to: &self) { request.texts = $0 }
    while effort != .none {
      if apus_report_try({ FrameTexts.serve($0) }, &request) { return }
      switch effort {
      case .full: effort = .mangled
      case .mangled: effort = .image
      case .image, .none: effort = .none
      }
    }
  }

  private static func serve(_ argument: UnsafeMutableRawPointer?) {
    guard let request = argument?.assumingMemoryBound(to: Request.self), let texts = request.pointee.texts
    else { return }
    switch request.pointee.kind {
    case .text where texts.pointee.effort == .image:
      _ = ModuleData.findImage(at: request.pointee.frame.address, &request.pointee.frame.image)
    case .text:
      texts.pointee.make(&request.pointee.frame)
    case .failure where texts.pointee.effort == .image:
      break
    case .failure:
      let frames = texts.pointee.symbols.lookUp(request.pointee.frame.address).frames
      for index in 0..<frames.count {
        if let name = frames[index].name, FunctionName(name).isFailure { request.pointee.failure = name }
      }
    }
  }

  /// Makes the text of a frame in the mapping, if there is room for all of it.
  private mutating func make(_ frame: inout Frame) {
    guard let memory else { return }
    let (symbol, frames) = symbols.lookUp(frame.address)
    if let name = symbol.name { frame.isParking = FunctionName(name).isParking }
    let start = memory + Self.slots * MemoryLayout<Frame>.stride + used
    var room = UnsafeMutableRawBufferPointer(start: start, count: Self.textSize - used)
    let made = Self.compose(symbol, frames, frame.address, &room, demangles: effort == .full)
    guard made.isWhole else { return }
    used = Self.textSize - room.count
    frame.start = start
    frame.count = made.count
  }

  /// Writes the pieces into `room`, of which the rest is left.
  private static func compose(
    _ symbol: Symbol, _ frames: SourceFrames, _ address: UInt, _ room: inout UnsafeMutableRawBufferPointer,
    demangles: Bool
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
        FunctionName(name).write(to: &text, demangles: demangles)
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
