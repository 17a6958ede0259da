import CApus
import Synchronization

/// What the module Apus makes flight recorders of.
package enum TraceRecorder {
  private static let count = Atomic<UInt64>(0)

  /// A number for a recorder, which no other has.
  package static func makeNumber() -> UInt64 { count.wrappingAdd(1, ordering: .relaxed).newValue }

  /// The number of the recorder that is on; 0 for none.
  package static var current: UInt64 { TraceSession.recorder }

  /// See `TraceSession`.
  package static func begin(_ number: UInt64, minAge: Int64, maxBytes: Int) -> (other: UInt64?, error: Int32) {
    TraceSession.beginRecording(number, minAge: minAge, maxBytes: maxBytes)
  }

  package static func end(_ number: UInt64) { TraceSession.endRecording(number) }

  package static func snapshot(of number: UInt64) -> [[UInt8]]? { TraceSession.snapshot(of: number) }

  /// Writes `parts` one after the other into the file at `path`, which is created or emptied; the kernel's error.
  package static func write(_ parts: [[UInt8]], to path: String) -> Int32 {
    let file = path.withCString { apus_open_write($0) }
    if file < 0 { return -file }
    var error: Int32 = 0
    for part in parts where error == 0 {
      error = part.withUnsafeBytes { TraceOutputs.write($0, to: file) }
    }
    let closed = apus_close(file)
    return error != 0 ? error : max(-closed, 0)
  }

  /// What the kernel calls an error.
  package static func text(of error: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
      let length = Int(apus_error_text(error, text.baseAddress, text.count))
      return String(decoding: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(text)[..<length]), as: UTF8.self)
    }
  }
}
