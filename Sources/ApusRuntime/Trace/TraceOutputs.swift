import CApus
import Synchronization

/// Where a trace's bytes go: to a file, into the memory of a flight recorder, or both. Only the thread of the session uses
/// it.
struct TraceOutputs: ~Copyable {
  /// The file; below zero for none.
  private var file: Int32 = -1
  /// What the kernel said when it took no more; 0 while it does. Then nothing more is written to the file.
  private var error: Int32 = 0
  var recording: TraceRecording?

  init() {}

  /// The next generation is the first of this file.
  mutating func open(_ descriptor: Int32) {
    file = descriptor
    error = 0
    TraceFormat.header.withUnsafeBytes { writeToFile($0) }
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer) {
    if file >= 0 { writeToFile(bytes) }
    recording?.append(bytes)
  }

  mutating func endGeneration() { recording?.endGeneration(at: Clock.nanotime()) }

  /// No more goes to the file, if there is one. Standard error, or the process that has asked for it, is told what it
  /// lacks.
  mutating func closeFile() {
    if file < 0 { return }
    if error != 0 {
      tell(.notWritten, "is not complete")
    } else if apus_trace_has_lost() {
      tell(.withoutMemory, "lacks events, for want of memory")
    }
    _ = apus_close(file)
    file = -1
  }

  private func tell(_ fault: TraceRequest.Fault, _ what: StaticString) {
    sched.pointee.trace.request.fault.store(fault, ordering: .relaxed)
    if sched.pointee.trace.request.isAttached.load(ordering: .relaxed) { return }
    TraceSession.complain("the file", what, error: error)
  }

  private mutating func writeToFile(_ bytes: UnsafeRawBufferPointer) {
    if error == 0 { error = Self.write(bytes, to: file) }
  }

  /// Writes all of `bytes`; the error of the kernel, 0 for none.
  static func write(_ bytes: UnsafeRawBufferPointer, to file: Int32) -> Int32 {
    guard let start = bytes.baseAddress else { return 0 }
    var written = 0
    while written < bytes.count {
      let result = apus_write(file, start + written, bytes.count - written)
      if result == -4 { continue }  // EINTR
      if result <= 0 { return result < 0 ? Int32(-result) : 5 }
      written += Int(result)
    }
    return 0
  }
}
