import CApus

/// The frames of one stack, innermost first. Of more than a hundred the first and the last fifty are kept, as in Go's
/// `traceback2`. Takes no memory but its own.
///
/// They are in a structure of C's: in a debug build Swift's generic arrays allocate when they are first used.
struct Traceback {
  static var capacity: Int { Int(APUS_FRAMES) }
  /// How much of a saved context is read (switch_*.S).
  private static var savedSize: UInt {
    #if arch(arm64)
      176
    #else
      64
    #endif
  }
  private var frames = apus_frames()
  /// The innermost frames are those of the switch.
  private var isParked = false

  /// No frames.
  init() {}

  /// The calling stack from the frame that goes on at `address`, all of it when there is no such frame. From the fatal
  /// stack this passes on to the stack that failed.
  init(from address: UInt) {
    apus_unwind(address, &frames)
    if frames.count == 0 { apus_unwind(0, &frames) }
  }

  /// The stack of the parked goroutine `g`, whom nobody may make runnable meanwhile. Empty when it has no stack or
  /// has not run yet.
  init(parked g: GRef) {
    // What is read of the saved context must lie in the stack, too: a report may look at a goroutine that runs again.
    let (sp, lo, hi) = (g.pointee.head.sp, g.pointee.head.stack_lo, g.pointee.head.stack_hi)
    guard hi != 0, sp >= lo, sp < hi, hi - sp >= Self.savedSize else { return }
    isParked = true
    apus_unwind_parked(sp, hi, &frames)
  }

  /// The goroutine's stack on the thread of `m`; empty when that runs. Where it was stopped in a function that uses the
  /// frame pointer for something else, as libc's do, callers may be missing.
  init(stopped m: MRef) {
    var pc: UInt = 0
    var fp: UInt = 0
    guard apus_stopped_frame(m.cM, &pc, &fp) else { return }
    let g = m.currentG.pointee.head
    apus_unwind_frames(pc, fp, g.stack_lo, g.stack_hi, &frames)
  }

  /// The stack of `g`, which runs on the thread of `m`, as that thread tells. False when it does not for so many
  /// nanoseconds. For a fatal report.
  mutating func ask(_ m: MRef, for g: GRef, patience: Int64) -> Bool {
    apus_ask_for_frames(
      m.cM, UnsafeMutableRawPointer(g).assumingMemoryBound(to: apus_g_head.self), patience, &frames)
  }

  /// Whether there are no frames.
  var isEmpty: Bool { count == 0 }

  /// The frames of a parked goroutine that were collected before: `elided` of them are missing after the first fifty.
  init(parked addresses: UnsafePointer<UInt>, count: Int, elided: UInt64) {
    self.init(running: addresses, count: count, elided: elided)
    isParked = true
  }

  /// The same of one that ran.
  init(running addresses: UnsafePointer<UInt>, count: Int, elided: UInt64) {
    frames.count = count < Self.capacity ? count : Self.capacity
    frames.elided = elided
    let pcs = apus_frames_pcs(&frames)
    var index = 0
    while index < frames.count {
      pcs[index] = addresses[index]
      index += 1
    }
  }

  var count: Int { frames.count }
  /// How many frames are missing in the middle.
  var elidedCount: UInt64 { frames.elided }

  /// Copies the frames' addresses to `target`, which has room for all of them.
  mutating func copyAddresses(to target: UnsafeMutablePointer<UInt>) {
    let pcs = apus_frames_pcs(&frames)
    var index = 0
    while index < frames.count {
      target[index] = pcs[index]
      index += 1
    }
  }

  /// The frames' addresses.
  mutating func addresses() -> [UInt] {
    Array(UnsafeBufferPointer(start: apus_frames_pcs(&frames), count: frames.count))
  }

  /// Writes two lines a function; the runtime's own only with `showsRuntime`.
  mutating func write(to writer: inout ReportWriter, texts: inout FrameTexts, showsRuntime: Bool) {
    let pcs = apus_frames_pcs(&frames)
    var index = isParked && !showsRuntime ? texts.countOfParking(pcs, frames.count) : 0
    while index < frames.count {
      if frames.elided > 0 && index == Self.capacity / 2 {
        writer.write("...")
        writer.write(frames.elided)
        writer.write(" frames elided...\n")
      }
      texts.write(pcs[index], to: &writer, showsRuntime: showsRuntime)
      index += 1
    }
  }
}
