import CApus
import Synchronization

/// Another process looks into this one, which goes on: `apus dump PID` and the like. `CApusAttach.h` says how it asks.
///
/// The handler of the request only keeps its number. The template thread connects, which waits for nobody, and starts the
/// thread `apus-attach`, which answers until the command hangs up. Neither needs a P, so it does not matter what the
/// goroutines do: whether all of them sleep, all Ps compute, or nobody can go on any more. For what needs the world to stand
/// still the thread waits as anybody else does. `exit` does not know of it.
///
/// There is one session at a time; who comes second is told so.
struct AttachSession: ~Copyable {
  /// What is sent with the greeting: the version of requests and answers.
  private static var version: StaticString { "1" }
  /// No request is longer.
  private static var longestRequest: Int { 64 }

  /// Set by the template thread, cleared by the session's.
  private let isOn = Atomic<Bool>(false)
  /// The socket; for the thread that is about to begin.
  private let connection = Atomic<Int32>(-1)

  /// From now on requests are served. The template thread calls it.
  static func arm() {
    if sched.pointee.knobs.attach != 0 { apus_attach_arm(Futex.address(of: sched.pointee.templateWake)) }
  }

  /// Begins a session if somebody has asked for it. The template thread calls it after each of its sleeps.
  static func serveRequest() {
    let request = apus_attach_take()
    if request == 0 { return }
    let connection = apus_attach_connect(request)
    // Whoever asked is gone, or may not.
    if connection < 0 { return }
    var refusal: StaticString?
    if sched.pointee.attach.isOn.exchange(true, ordering: .acquiring) {
      refusal = "another command is attached to it"
    } else {
      sched.pointee.attach.connection.store(connection, ordering: .relaxed)
      if ServiceThread.start({ AttachSession.run($0) }) != 0 {
        sched.pointee.attach.isOn.store(false, ordering: .releasing)
        refusal = "it cannot start a thread"
      }
    }
    guard let refusal else { return }
    refuse(connection, refusal)
    _ = apus_close(connection)
  }

  private static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let m = ServiceThread.begin(argument, name: "apus-attach")
    let connection = sched.pointee.attach.connection.load(ordering: .relaxed)
    if send(connection, APUS_ATTACH_HELLO, version) { serve(connection, on: m) }
    ServiceThread.end(m)
    sched.pointee.attach.isOn.store(false, ordering: .releasing)
    // Last: a command that has waited for this leaves a process to which the next can attach.
    _ = apus_close(connection)
    return nil
  }

  /// Answers requests until the command hangs up.
  private static func serve(_ connection: Int32, on m: MRef) {
    var figures = AttachFigures()
    withUnsafeTemporaryAllocation(byteCount: longestRequest, alignment: 1) { buffer in
      while true {
        var passed: Int32 = -1
        let count = apus_attach_receive(connection, buffer.baseAddress, buffer.count, -1, &passed)
        if count > 0 {
          let request = ByteText(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
          answer(request, passed, to: connection, on: m, &figures)
        } else if passed >= 0 {
          _ = apus_close(passed)
        }
        if count <= 0 { break }
      }
    }
    figures.close()
  }

  /// Answers `request`, with which the descriptor `passed` came unless that is -1.
  private static func answer(
    _ request: ByteText, _ passed: Int32, to connection: Int32, on m: MRef, _ figures: inout AttachFigures
  ) {
    var request = request
    let verb = request.takeField(before: 0x20) ?? request
    if verb.equals("trace"), passed >= 0 {
      trace(into: passed, nanoseconds: request.decimal, connection, on: m)
      return
    }
    if passed >= 0 { _ = apus_close(passed) }
    if verb.equals("dump") {
      GoroutineSnapshot.write(to: .attached(connection), on: m)
    } else if verb.equals("figures") {
      figures.write(to: .attached(connection), on: m)
    } else {
      refuse(connection, "it does not know what is asked")
      return
    }
    _ = send(connection, APUS_ATTACH_END, "")
  }

  /// Writes a trace to `file` until the time is over, or the command says anything, or hangs up.
  private static func trace(into file: Int32, nanoseconds: UInt64?, _ connection: Int32, on m: MRef) {
    // `exit` waits for the trace: the command must not be able to keep it waiting.
    guard let time = nanoseconds.flatMap({ Int64(exactly: $0) }), apus_is_file(file) else {
      refuse(connection, "a trace needs a time and a file")
      _ = apus_close(file)
      return
    }
    var failure: StaticString?
    ServiceThread.whileOthersWait(m) { failure = TraceSession.begin(into: file) }
    if failure == nil {
      var (byte, passed): (UInt8, Int32) = (0, -1)
      _ = apus_attach_receive(connection, &byte, 1, time, &passed)
      if passed >= 0 { _ = apus_close(passed) }
      ServiceThread.whileOthersWait(m) { failure = TraceSession.endAttached() }
    }
    if let failure {
      refuse(connection, failure)
    } else {
      _ = send(connection, APUS_ATTACH_END, "")
    }
  }

  private static func refuse(_ connection: Int32, _ reason: StaticString) {
    _ = send(connection, APUS_ATTACH_REFUSAL, reason)
  }

  private static func send(_ connection: Int32, _ kind: Int, _ text: StaticString) -> Bool {
    apus_attach_send(connection, CChar(kind), text.utf8Start, text.utf8CodeUnitCount)
  }
}
