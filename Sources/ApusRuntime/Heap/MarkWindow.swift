/// The grey objects that are scanned next, oldest first, while the processor fetches them.
///
/// The buffer before it is a stack: what was found last is scanned first, and a fetch that began when it was found would
/// not be done by then. Out of the window an object comes after `size` others, which take about as long as memory does.
struct MarkWindow {
  private var entries = InlineArray<8, UInt>(repeating: 0)
  /// How many were put in and taken out, counted round.
  private var end: UInt = 0
  private var start: UInt = 0

  private static var size: UInt { 8 }

  @inline(__always)
  var isEmpty: Bool { start == end }
  @inline(__always)
  var isFull: Bool { end &- start == Self.size }

  /// Puts `address` at the end of a window that is not full.
  @inline(__always)
  mutating func put(_ address: UInt) {
    entries[unchecked: Int(bitPattern: end & (Self.size &- 1))] = address
    end &+= 1
  }

  /// Takes the oldest out of a window that is not empty.
  @inline(__always)
  mutating func take() -> UInt {
    let address = entries[unchecked: Int(bitPattern: start & (Self.size &- 1))]
    start &+= 1
    return address
  }
}
