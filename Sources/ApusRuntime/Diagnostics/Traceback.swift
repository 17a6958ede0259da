import CApus

/// The frames of one stack, innermost first. Of more than a hundred the first and the last fifty are kept, as in Go's
/// `traceback2`. Takes no memory but its own.
struct Traceback: ~Copyable {
  private static let capacity = 100
  private var addresses = InlineArray<100, UInt>(repeating: 0)
  private var count = 0
  /// How many frames are missing in the middle.
  private(set) var elidedCount: UInt64 = 0

  /// The calling stack from the frame that goes on at `address`, all of it when there is no such frame. From the fatal
  /// stack this passes on to the stack that failed.
  init(from address: UInt) {
    withUnsafeMutableBytes(of: &addresses) { bytes in
      let pcs = bytes.assumingMemoryBound(to: UInt.self).baseAddress
      count = apus_unwind(address, pcs, Self.capacity, &elidedCount)
      if count == 0 { count = apus_unwind(0, pcs, Self.capacity, &elidedCount) }
    }
  }

  /// The stack of the parked goroutine `g`, whom nobody may make runnable meanwhile. Empty when it has no stack or
  /// has not run yet.
  init(parked g: borrowing apus_g_head) {
    guard g.stack_hi != 0, g.sp >= g.stack_lo, g.sp < g.stack_hi else { return }
    var pc: UInt = 0
    var fp: UInt = 0
    var head = copy g
    apus_saved_frame(&head, &pc, &fp)
    let (lo, hi) = (g.sp, g.stack_hi)
    withUnsafeMutableBytes(of: &addresses) { bytes in
      let pcs = bytes.assumingMemoryBound(to: UInt.self).baseAddress
      count = apus_unwind_frames(pc, fp, lo, hi, pcs, Self.capacity, &elidedCount)
    }
  }

  /// Writes two lines a frame: the function, and, after a tab, the image and the address in it that addr2line takes.
  func write(to writer: inout ReportWriter, symbols: inout SymbolTable) {
    for index in 0..<count {
      if elidedCount > 0 && index == Self.capacity / 2 {
        writer.write("...")
        writer.write(elidedCount)
        writer.write(" frames elided...\n")
      }
      Self.write(symbols.lookUp(addresses[index]), to: &writer)
    }
  }

  private static func write(_ symbol: Symbol, to writer: inout ReportWriter) {
    if let name = symbol.name {
      // Malloc'd and never freed: reports are rare, and free is one more thing that can fail.
      if let text = apus_demangle(name, symbol.nameLength) {
        writer.write(UnsafePointer(text))
      } else {
        writer.write(name)
        writer.write("(...)")
      }
    } else {
      writer.write("?(...)")
    }
    writer.write("\n\t")
    if let path = symbol.path {
      writer.write(lastComponent(of: path))
      writer.write("+")
    }
    writer.write(hex: symbol.imageOffset)
    writer.write("\n")
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
