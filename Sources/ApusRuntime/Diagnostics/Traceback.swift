import CApus

/// The frames of one stack, innermost first. Of more than a hundred the first and the last fifty are kept, as in Go's
/// `traceback2`. Takes no memory but its own.
struct Traceback: ~Copyable {
  static let capacity = 100
  /// How much of a saved context is read (switch_*.S).
  private static var savedSize: UInt {
    #if arch(arm64)
      176
    #else
      64
    #endif
  }
  private var addresses = InlineArray<100, UInt>(repeating: 0)
  private var count = 0
  /// How many frames are missing in the middle.
  private(set) var elidedCount: UInt64 = 0
  /// The innermost frames are those of the switch.
  private var isParked = false

  /// No frames.
  init() {}

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
    // What `apus_saved_frame` reads must lie in the stack, too: a report may look at a goroutine that runs again.
    guard g.stack_hi != 0, g.sp >= g.stack_lo, g.sp < g.stack_hi, g.stack_hi - g.sp >= Self.savedSize else { return }
    isParked = true
    var pc: UInt = 0
    var fp: UInt = 0
    var head = copy g
    apus_saved_frame(&head, &pc, &fp)
    // It has not begun.
    if fp == 0 { return }
    let (lo, hi) = (g.sp, g.stack_hi)
    withUnsafeMutableBytes(of: &addresses) { bytes in
      let pcs = bytes.assumingMemoryBound(to: UInt.self).baseAddress
      count = apus_unwind_frames(pc, fp, lo, hi, pcs, Self.capacity, &elidedCount)
    }
  }

  /// The goroutine's stack on the thread of `m`; empty when that runs. Where it was stopped in a function that uses the
  /// frame pointer for something else, as libc's do, callers may be missing.
  init(stopped m: MRef) {
    var pc: UInt = 0
    var fp: UInt = 0
    guard apus_stopped_frame(m.cM, &pc, &fp) else { return }
    let g = m.currentG.pointee.head
    let (lo, hi) = (g.stack_lo, g.stack_hi)
    withUnsafeMutableBytes(of: &addresses) { bytes in
      let pcs = bytes.assumingMemoryBound(to: UInt.self).baseAddress
      count = apus_unwind_frames(pc, fp, lo, hi, pcs, Self.capacity, &elidedCount)
    }
  }

  /// Whether there are no frames.
  var isEmpty: Bool { count == 0 }

  /// The frames of a parked goroutine that were collected before: `elided` of them are missing after the first fifty.
  init(addresses collected: UnsafeBufferPointer<UInt>, elided: UInt64) {
    count = min(collected.count, Self.capacity)
    for index in 0..<count { addresses[index] = collected[index] }
    elidedCount = elided
    isParked = true
  }

  /// Calls `body` with the frames' addresses.
  borrowing func withAddresses(_ body: (UnsafeBufferPointer<UInt>) -> Void) {
    addresses.span.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0.prefix(count))) }
  }

  /// Writes two lines a frame; the runtime's own frames only with `showsRuntime`.
  borrowing func write(to writer: inout ReportWriter, texts: inout FrameTexts, showsRuntime: Bool) {
    var first = 0
    if isParked && !showsRuntime { withAddresses { first = texts.countOfParking($0) } }
    for index in first..<count {
      if elidedCount > 0 && index == Self.capacity / 2 {
        writer.write("...")
        writer.write(elidedCount)
        writer.write(" frames elided...\n")
      }
      texts.write(addresses[index], to: &writer, showsRuntime: showsRuntime)
    }
  }
}
