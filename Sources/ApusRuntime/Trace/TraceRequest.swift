import CApus
import Synchronization

/// What the thread of a session is asked to do, one at a time: whoever asks has `TraceSession.control`, and waits.
struct TraceRequest: ~Copyable {
  enum Kind: UInt32 {
    case none
    /// Begins with what stands beside it, a file or a recorder.
    case beginSession
    /// The next generation is the first, or this one is the last, that goes to a file.
    case beginFile, endFile
    /// The same of a flight recorder.
    case beginRecording, endRecording
    /// Ends the generation and copies what the recorder has.
    case snapshot
  }

  /// What a file lacks.
  enum Fault: UInt8, AtomicRepresentable {
    case none, notWritten, withoutMemory
  }

  private let kind = Atomic<UInt32>(Kind.none.rawValue)
  /// A file; or what a flight recorder is to keep; or where its snapshot goes.
  let descriptor = Atomic<Int32>(-1)
  /// Whether the file is another process's, which is told of faults in place of standard error; and the fault, which the
  /// thread writes when it closes the file. Both stay as they are until the next file.
  let isAttached = Atomic<Bool>(false)
  let fault = Atomic<Fault>(.none)
  let minAge = Atomic<Int64>(0)
  let maxBytes = Atomic<Int>(0)
  let snapshot = Atomic<UnsafeMutableRawPointer?>(nil)

  private var address: UnsafeMutablePointer<UInt32> { Futex.address(of: kind) }

  /// Asks for `kind`, which is about what was stored beside it, and waits until it is done.
  func ask(_ kind: Kind) {
    post(kind)
    wait(for: kind)
  }

  /// Asks for it.
  func post(_ kind: Kind) {
    self.kind.store(kind.rawValue, ordering: .releasing)
    apus_trace_wake_writer()
  }

  /// Waits until it is done: what stands beside it can be stored anew only then.
  func wait(for kind: Kind) {
    Syscall.enter()
    while self.kind.load(ordering: .acquiring) == kind.rawValue { Futex.wait(address, while: kind.rawValue) }
    Syscall.exit()
  }

  /// What is asked for.
  var asked: Kind { Kind(rawValue: kind.load(ordering: .acquiring)) ?? .none }

  /// What was asked for is done.
  func answer() {
    kind.store(Kind.none.rawValue, ordering: .releasing)
    Futex.wake(address, count: .max)
  }

  /// A recorder's memory as it was asked for.
  var recording: TraceRecording? {
    let bytes = maxBytes.load(ordering: .relaxed)
    return bytes == 0 ? nil : TraceRecording(minAge: minAge.load(ordering: .relaxed), maxBytes: bytes)
  }
}
