import CApus
import Synchronization

/// The goroutines of a process as text, in Go's form (`goroutineheader`, `traceback`, `tracebackothers`):
///
///     goroutine 7 [chan receive, 2 minutes, locked to thread]:
///     function(…)
///     	file:line +0xoffset
///     created by function in goroutine 1
///     	file:line +0xoffset
///
/// The current one comes first, then the others in the order of their numbers, a blank line before each. A goroutine that
/// has not run yet has no frames.
struct GoroutineDump: ~Copyable {
  /// What there is to tell of a goroutine besides its frames.
  struct State {
    var id: UInt64
    var creator: UInt64
    var creation: UInt
    var status: GStatus
    var waitReason: WaitReason
    var isLocked: Bool
    /// Inside a region that was said to block.
    var isInSyscall = false
    /// Since when it waits (`WaitScan`).
    var waitWord: UInt32

    init(_ g: GRef) {
      id = g.pointee.head.id
      creator = g.pointee.creator
      creation = g.pointee.creation
      status = g.pointee.status
      waitReason = g.pointee.waitReason
      isLocked = g.pointee.lockedM != nil
      waitWord = g.pointee.waitWord.load(ordering: .relaxed)
      if status == .running, let m = StoppedThreads.threadRunning(g) { isInSyscall = apus_m_peek_told(m.cM) != 0 }
    }

    /// What it does, in Go's words.
    var text: StaticString {
      switch status {
      case .running: isInSyscall ? "syscall" : "running"
      case .runnable: "runnable"
      case .waiting where waitReason != .none: waitReason.text
      case .waiting, .dead: "waiting"
      }
    }
  }

  var writer: ReportWriter
  private var texts: FrameTexts
  /// The runtime's own frames and goroutines, too.
  var showsRuntime: Bool
  /// When it was begun, in nanoseconds.
  private let now = Clock.nanotime()

  init(to destination: ReportWriter.Destination, showsRuntime: Bool) {
    writer = ReportWriter(to: destination)
    texts = FrameTexts()
    self.showsRuntime = showsRuntime
  }

  /// What the compiler calls the check that has failed at `address`; nil when there is none.
  mutating func failure(at address: UInt) -> UnsafePointer<CChar>? { texts.failure(at: address) }

  /// Hands on what was written and gives the memory back.
  mutating func close() {
    writer.close()
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
        state.isInSyscall = false
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
    var traceback = Traceback(from: address)
    traceback.write(to: &writer, texts: &texts, showsRuntime: showsRuntime)
    if let g, g.pointee.kind == .user || g.pointee.kind == .system { writeCreator(State(g)) }
    writer.flush()
  }

  /// Writes one goroutine that is not current.
  mutating func write(_ state: State, _ traceback: inout Traceback) {
    writeHeader(state)
    if state.status == .running && traceback.isEmpty {
      writer.write("\tgoroutine running on other thread; stack unavailable\n")
    } else {
      traceback.write(to: &writer, texts: &texts, showsRuntime: showsRuntime)
    }
    writeCreator(state)
  }

  /// Writes frames alone.
  mutating func write(_ traceback: inout Traceback) {
    traceback.write(to: &writer, texts: &texts, showsRuntime: showsRuntime)
  }

  /// The same with a blank line before it, as one piece of output.
  mutating func writeOther(_ state: State, _ traceback: inout Traceback) {
    writer.gathersLines = true
    writer.write("\n")
    write(state, &traceback)
    writer.gathersLines = false
    writer.flush()
  }

  private mutating func writeHeader(_ state: State) {
    writer.write("goroutine ")
    writer.write(state.id)
    writer.write(" [")
    writer.write(state.text)
    let minutes = state.status == .waiting ? WaitScan.minutes(of: state.waitWord, at: now) : 0
    if minutes > 0 {
      writer.write(", ")
      writer.write(minutes)
      writer.write(" minutes")
    }
    if state.isLocked { writer.write(", locked to thread") }
    writer.write("]:\n")
  }

  /// A goroutine that no goroutine made (main, and those of foreign threads) has the creator 0.
  private mutating func writeCreator(_ state: State) {
    if state.creator == 0 { return }
    writer.write("created by ")
    // The address before a return address is inside the call.
    texts.write(creationAt: state.creation &- 1, by: state.creator, to: &writer)
  }

  /// The frames of a goroutine that does not run: parked, or on a thread that was stopped. None of one that runs.
  static func traceback(of g: GRef) -> Traceback {
    if g.pointee.needsCare & G.hasNoStack != 0 { return Traceback() }
    let status = g.pointee.status
    if status != .waiting, let m = StoppedThreads.threadRunning(g) { return Traceback(stopped: m) }
    // It has lost its thread, or has just come to one.
    if status == .running { return Traceback() }
    return Traceback(parked: g)
  }

  /// The same for a fatal report, where threads run and are asked. `patience`: for how many nanoseconds all who do not
  /// answer are waited for together. A thread that finds no CPU may be long in answering; but there may be thousands that
  /// never do.
  static func traceback(of g: GRef, patience: inout Int64) -> Traceback {
    if g.pointee.needsCare & G.hasNoStack == 0, g.pointee.status != .waiting,
      let m = StoppedThreads.threadRunning(g)
    {
      var traceback = Traceback()
      let start = Clock.nanotime()
      let wait: Int64 = patience > 2_500_000_000 ? 2_500_000_000 : patience < 1_000_000 ? 1_000_000 : patience
      let hasAnswered = traceback.ask(m, for: g, patience: wait)
      // Either is progress.
      apus_watchdog(APUS_WATCHDOG_SECONDS, APUS_FATAL_STATUS)
      if hasAnswered { return traceback }
      patience &-= Clock.nanotime() &- start
    }
    return traceback(of: g)
  }
}
