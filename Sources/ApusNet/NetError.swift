import ApusRuntime
import CApus

/// Why an operation of this module failed. Printed it says what was done, with whom, and why not:
/// `read 127.0.0.1:80: connection reset by peer`.
public struct NetError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What a program may want to tell apart.
  public enum Kind: Hashable, Sendable {
    /// The deadline passed, or the system gave up waiting for the other side.
    case timedOut
    /// The connection or listener was closed by this program, or the other side sent less than was asked for.
    case closed
    /// Nobody listens at the address.
    case refused
    /// The other side has broken the connection off.
    case reset
    /// The name could not be resolved.
    case resolve
    /// Anything else that the system says no to, and arguments that make no sense; `errno` says which.
    case system
  }

  /// What went wrong, as far as a program may want to tell it apart.
  public var kind: Kind
  /// The system's error number; 0 where the system had no part in it.
  public var errno: Int32
  /// What was tried, and the address: `read 127.0.0.1:80`.
  public var operation: String
  /// Why, where it is not the text of `errno`.
  var reason: String?

  /// An error of the given kind.
  public init(kind: Kind, errno: Int32 = 0, operation: String) {
    self.kind = kind
    self.errno = errno
    self.operation = operation
  }

  init(_ kind: Kind, _ operation: String, errno: Int32 = 0, reason: String) {
    self.init(kind: kind, errno: errno, operation: operation)
    self.reason = reason
  }

  /// The system's error `number`, by its kind.
  init(_ number: Int32, _ operation: String) {
    let kind: Kind =
      switch number {
      case Number.refused: .refused
      case Number.reset, Number.brokenPipe, Number.aborted: .reset
      case Number.timedOut: .timedOut
      default: .system
      }
    self.init(kind: kind, errno: number, operation: operation)
  }

  public var description: String {
    if let reason { return "\(operation): \(reason)" }
    if errno != 0 { return "\(operation): \(Number.text(errno))" }
    switch kind {
    case .timedOut: return "\(operation): i/o timeout"
    case .closed: return "\(operation): use of closed network connection"
    case .refused: return "\(operation): \(Number.text(Number.refused))"
    case .reset: return "\(operation): \(Number.text(Number.reset))"
    case .resolve: return "\(operation): no such host"
    case .system: return "\(operation): failed"
    }
  }
}

/// The system's error numbers that this module looks at. Linux has one table of them for x86-64 and aarch64.
enum Number {
  static var interrupted: Int32 { 4 }
  static var ioError: Int32 { 5 }
  static var again: Int32 { 11 }
  static var noMemory: Int32 { 12 }
  static var invalid: Int32 { 22 }
  static var tooManyInSystem: Int32 { 23 }
  static var tooManyInProcess: Int32 { 24 }
  static var brokenPipe: Int32 { 32 }
  static var nameTooLong: Int32 { 36 }
  static var familyNotSupported: Int32 { 97 }
  static var addressNotAvailable: Int32 { 99 }
  static var aborted: Int32 { 103 }
  static var reset: Int32 { 104 }
  static var noBuffers: Int32 { 105 }
  static var isConnected: Int32 { 106 }
  static var timedOut: Int32 { 110 }
  static var refused: Int32 { 111 }
  static var inProgress: Int32 { 115 }
  static var notPermitted: Int32 { 1 }

  /// The system's words for it, as they stand within a sentence.
  static func text(_ number: Int32) -> String {
    String(unsafeUninitializedCapacity: 128) { buffer in
      buffer.withMemoryRebound(to: CChar.self) { Int(apus_error_text(number, $0.baseAddress, $0.count)) }
    }
  }
}
