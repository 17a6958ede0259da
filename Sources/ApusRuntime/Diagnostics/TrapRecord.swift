import CApus

/// What has ended an isolated call: enough to tell why and where, which takes milliseconds, when somebody asks.
package struct TrapRecord: @unchecked Sendable {
  // Unchecked: nothing in it changes, and the thread that `fault` points to is not looked at.
  private let fault: apus_fault
  /// What libswiftCore has said, or the runtime.
  private let message: String?
  private let isMisuse: Bool
  private let addresses: [UInt]
  private let elided: UInt64
  /// The goroutine's number.
  package let goroutine: UInt64

  /// Takes the message that libswiftCore keeps. When several goroutines trap in libswiftCore at the same moment it may be
  /// another's; it is left to the other where only that one can have one.
  init(_ isolation: apus_isolation, goroutine: UInt64) {
    fault = isolation.fault
    self.goroutine = goroutine
    isMisuse = isolation.misuse != nil
    if let misuse = isolation.misuse {
      message = String(decoding: UnsafeBufferPointer(start: misuse, count: isolation.misuse_length), as: UTF8.self)
    } else if Self.hasMessage(isolation.fault), let text = apus_take_fatal_message() {
      message = String(cString: text)
      apus_free(text)
    } else {
      message = nil
    }
    var frames = isolation.frames
    elided = frames.elided
    addresses = Array(UnsafeBufferPointer(start: apus_frames_pcs(&frames), count: frames.count))
  }

  private static func hasMessage(_ fault: apus_fault) -> Bool {
    guard TrapReason.isChecks(fault.signal) else { return false }
    // LibswiftCore has called abort, which is libc's.
    return fault.signal == SignalName.abort || apus_may_have_said_why(fault.pc)
  }

  /// The signal that the trap was; nil for misuse that the runtime has noticed.
  package var signal: Int32? { isMisuse ? nil : fault.signal }

  /// The reason, as a fatal report has it behind `panic: `.
  package var reason: String {
    if isMisuse, let message { return message }
    return Self.text { dump in
      if let message {
        message.withCString { _ = TrapReason.write(fault, $0, to: &dump) }
      } else {
        _ = TrapReason.write(fault, nil, to: &dump)
      }
    }
  }

  /// The frames as a fatal report has them, two lines a function, innermost first.
  package var frames: String {
    Self.text { dump in
      addresses.withUnsafeBufferPointer { addresses in
        guard let first = addresses.baseAddress else { return }
        var traceback = Traceback(running: first, count: addresses.count, elided: elided)
        dump.write(&traceback)
      }
    }
  }

  private static func text(_ body: (inout GoroutineDump) -> Void) -> String {
    var bytes: [UInt8] = []
    withUnsafeMutablePointer(to: &bytes) { bytes in
      var dump = GoroutineDump(to: .text(bytes), showsRuntime: false)
      body(&dump)
      dump.close()
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
