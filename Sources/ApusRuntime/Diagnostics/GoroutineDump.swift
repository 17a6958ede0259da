import CApus

/// The goroutines of a process as text, in Go's form (`goroutineheader`, `traceback`, `tracebackothers`):
///
///     goroutine 7 [chan receive, locked to thread]:
///     function
///     	image+0xaddress
///     created by goroutine 1
///
/// The current one comes first, then the others in the order of their numbers, a blank line before each. Who created a
/// goroutine is known by its number only, so Go's `created by FUNCTION in goroutine N` and its place are left out. A
/// goroutine that has not run yet has no frames.
struct GoroutineDump: ~Copyable {
  /// What there is to tell of a goroutine besides its frames.
  struct State {
    var id: UInt64
    var creator: UInt64
    var status: GStatus
    var waitReason: WaitReason
    var isLocked: Bool

    init(_ g: GRef) {
      id = g.pointee.head.id
      creator = g.pointee.creator
      status = g.pointee.status
      waitReason = g.pointee.waitReason
      isLocked = g.pointee.lockedM != nil
    }
  }

  var writer: ReportWriter
  private var texts: FrameTexts
  /// The runtime's own frames and goroutines, too.
  var showsRuntime: Bool

  init(to destination: ReportWriter.Destination, showsRuntime: Bool) {
    writer = ReportWriter(to: destination)
    if case .text = destination { texts = FrameTexts(frees: true) } else { texts = FrameTexts(frees: false) }
    self.showsRuntime = showsRuntime
  }

  /// Hands on what was written and gives the memory back.
  mutating func close() {
    writer.flush()
    texts.close()
  }

  /// Writes what runs on the calling thread, from the frame that goes on at `address`: its goroutine, or the thread where
  /// there is none. On a scheduler's stack that is of interest for the runtime's own failures only.
  mutating func writeCurrent(from address: UInt) {
    let g = currentMOrNil()?.currentG
    switch g?.pointee.kind {
    case .user, .system:
      if let g {
        var state = State(g)
        // A goroutine on its way off its thread has another status already.
        state.status = .running
        writeHeader(state)
      }
    case .scheduler:
      if !showsRuntime { return }
      writer.write("runtime stack:\n")
    case .foreign, nil:
      writer.write("thread ")
      writer.write(UInt64(apus_gettid()))
      writer.write(" [running]:\n")
    }
    Traceback(from: address).write(to: &writer, texts: &texts, showsRuntime: showsRuntime)
    if let g, g.pointee.kind == .user || g.pointee.kind == .system { writeCreator(g.pointee.creator) }
    writer.flush()
  }

  /// Writes one goroutine that is not current. Of one that runs there are no frames.
  mutating func write(_ state: State, _ traceback: borrowing Traceback) {
    writeHeader(state)
    if state.status == .running && traceback.isEmpty {
      writer.write("\tgoroutine running on other thread; stack unavailable\n")
    } else {
      traceback.write(to: &writer, texts: &texts, showsRuntime: showsRuntime)
    }
    writeCreator(state.creator)
  }

  /// The same with a blank line before it, as one piece of output.
  mutating func writeOther(_ state: State, _ traceback: borrowing Traceback) {
    writer.gathersLines = true
    writer.write("\n")
    write(state, traceback)
    writer.gathersLines = false
    writer.flush()
  }

  private mutating func writeHeader(_ state: State) {
    writer.write("goroutine ")
    writer.write(state.id)
    writer.write(" [")
    switch state.status {
    case .running: writer.write("running")
    case .runnable: writer.write("runnable")
    case .waiting where state.waitReason != .none: writer.write(state.waitReason.text)
    case .waiting, .dead: writer.write("waiting")
    }
    if state.isLocked { writer.write(", locked to thread") }
    writer.write("]:\n")
  }

  /// A goroutine that no goroutine made (main, and those of foreign threads) has the creator 0.
  private mutating func writeCreator(_ creator: UInt64) {
    if creator == 0 { return }
    writer.write("created by goroutine ")
    writer.write(creator)
    writer.write("\n")
  }

  /// The frames of a goroutine that does not run: parked, or on a thread that was stopped.
  static func traceback(of g: GRef) -> Traceback {
    if g.pointee.needsCare & G.hasNoStack != 0 { return Traceback() }
    if g.pointee.status != .waiting, let m = StoppedThreads.threadRunning(g) { return Traceback(stopped: m) }
    return Traceback(parked: g.pointee.head)
  }
}
