import CApus
import Synchronization

/// The thread `apus-trace`, which is no goroutine's: it allocates, waits for the disk, and reads symbol tables. It stops the
/// world for the next generation as any other thread that is not the runtime's could.
enum TraceThread {
  private static var session: UnsafeMutablePointer<TraceSession> {
    withUnsafeMutablePointer(to: &sched.pointee.trace) { $0 }
  }

  /// Starts it; the kernel's error, 0 for none.
  static func start() -> Int32 {
    ServiceThread.start { TraceThread.run($0) }
  }

  private static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let m = ServiceThread.begin(argument, name: "apus-trace")
    write()
    session.pointee.hasWritten()
    ServiceThread.end(m)
    session.pointee.hasEnded()
    return nil
  }

  private static func write() {
    var trace = TraceFormat(to: TraceOutputs())
    beginOutputs(&trace.outputs)
    while true {
      apus_trace_wait(timeLeft(trace))
      // Before the buffers: with the session's end all of them are there.
      let isLast = session.pointee.isEnding
      trace.write(apus_trace_take_full())
      if isLast { break }
      serve(&trace)
      if isFull(trace) { _ = advance(&trace) }
    }
    trace.end()
    trace.close()
  }

  /// What the session begins with.
  private static func beginOutputs(_ outputs: inout TraceOutputs) {
    let descriptor = session.pointee.request.descriptor.load(ordering: .relaxed)
    if descriptor >= 0 { outputs.open(descriptor) }
    outputs.recording = session.pointee.request.recording
    session.pointee.request.answer()
  }

  /// How long the generation may last; below zero: for any time.
  private static func timeLeft(_ trace: borrowing TraceFormat) -> Int64 {
    guard let period = trace.outputs.recording?.period else { return -1 }
    return max(trace.start + period - Clock.nanotime(), 100_000)
  }

  private static func isFull(_ trace: borrowing TraceFormat) -> Bool {
    let limit = session.pointee.limit.load(ordering: .relaxed)
    guard let recording = trace.outputs.recording else { return trace.size >= limit }
    return trace.size >= min(limit, recording.generationSize)
      || Clock.nanotime() - trace.start >= recording.period
  }

  /// Does what somebody asks for.
  private static func serve(_ trace: inout TraceFormat) {
    let asked = session.pointee.request.asked
    switch asked {
    case .none, .beginSession: return
    case .endRecording: trace.outputs.recording = nil
    case .beginFile, .endFile, .beginRecording, .snapshot:
      // Somebody runs before long, so there will be a moment at which it is possible.
      while !advance(&trace, for: asked) {
        if !Trace.isOn { return }
        Thread.sleep(nanoseconds: 200_000)
      }
    }
    session.pointee.request.answer()
  }

  /// Goes on to the next generation, and does between the two what is asked for. False when that is not possible now, or
  /// the trace has ended meanwhile.
  private static func advance(_ trace: inout TraceFormat, for asked: TraceRequest.Kind = .none) -> Bool {
    // After a fatal report has switched it off nobody can stop the world any more.
    if !Trace.isOn { return false }
    var last: UnsafeMutablePointer<apus_trace_buffer>?
    var next: UInt64 = 0
    ServiceThread.whileOthersWait(currentM()) {
      StopTheWorld.run(for: .trace) { m in
        if !Trace.isOn { return }
        if TraceGeneration.advance(on: m, last: &last) { next = apus_trace_generation() }
      }
    }
    if next == 0 { return false }
    trace.write(last)
    trace.end()
    change(&trace.outputs, asked)
    trace.begin(next)
    return true
  }

  private static func change(_ outputs: inout TraceOutputs, _ asked: TraceRequest.Kind) {
    let request = withUnsafePointer(to: session.pointee.request) { $0 }
    switch asked {
    case .none, .beginSession, .endRecording: break
    case .beginFile: outputs.open(request.pointee.descriptor.load(ordering: .relaxed))
    case .endFile: outputs.closeFile()
    case .beginRecording: outputs.recording = request.pointee.recording
    case .snapshot:
      guard let pointer = request.pointee.snapshot.load(ordering: .relaxed) else { return }
      let snapshot = Unmanaged<TraceSnapshot>.fromOpaque(pointer).takeUnretainedValue()
      snapshot.generations = outputs.recording?.snapshot ?? []
    }
  }
}
