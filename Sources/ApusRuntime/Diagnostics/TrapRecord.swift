import CApus

/// What has ended an isolated call: enough to tell why and where, which takes milliseconds, when somebody asks.
package struct TrapRecord: @unchecked Sendable {
  // Unchecked: nothing in it changes, and what `fault` points to is not looked at.
  private let fault: apus_fault
  /// What libswiftCore has said, or the runtime.
  private let message: String?
  private let isMisuse: Bool
  private let addresses: [UInt]
  private let elided: UInt64
  /// The goroutine's number.
  package let goroutine: UInt64

  /// Frees the message that the handler has taken.
  init(_ isolation: apus_isolation, goroutine: UInt64) {
    fault = isolation.fault
    let text = fault.message
    defer { apus_free(text) }
    self.goroutine = goroutine
    isMisuse = isolation.misuse != nil
    if let misuse = isolation.misuse {
      message = String(decoding: UnsafeBufferPointer(start: misuse, count: isolation.misuse_length), as: UTF8.self)
    } else {
      message = text.map { String(cString: $0) }
    }
    var frames = isolation.frames
    elided = frames.elided
    addresses = Array(UnsafeBufferPointer(start: apus_frames_pcs(&frames), count: frames.count))
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
