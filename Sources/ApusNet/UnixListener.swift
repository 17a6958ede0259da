import ApusRuntime
import CApus

/// Waits for connections to a Unix socket.
///
/// Several goroutines may accept at the same time. The socket is closed by `close`, or with the last reference, and its
/// file is removed then.
public final class UnixListener: Sendable, CustomStringConvertible {
  private let descriptor: Descriptor
  /// Where it listens.
  public let address: SocketAddress
  /// What to remove; nil for a name in the abstract namespace.
  private let path: String?

  /// Makes the socket at `path`, which must not exist, and listens. A path that begins with `@` is a name in the abstract
  /// namespace, which has no file.
  ///
  /// Throws a `NetError`: when the path exists, cannot be made, or has more than 107 bytes.
  public init(path: String) throws {
    let wanted = SocketAddress(path: path)
    try wanted.checkPath("listen \(path)")
    do throws(SystemError) {
      let (number, record, _) = try Descriptor.listening(at: wanted) { _ in 0 }
      descriptor = Descriptor(number, record)
    } catch {
      throw error.saying("listen \(path)")
    }
    address = wanted
    self.path = path.hasPrefix("@") ? nil : path
  }

  deinit {
    if !descriptor.isClosed { removeFile() }
  }

  /// As a `TCPListener`'s.
  public var deadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.read) }
    set { descriptor.setDeadline(.read, newValue) }
  }

  /// Waits for the next connection, as a `TCPListener` does.
  public func accept() throws -> UnixConnection {
    var peer = SocketAddress(.none)
    let result = descriptor.accept(&peer)
    if result < 0 { throw SystemError(outcome: result).saying("accept \(address)") }
    do throws(SystemError) {
      return try UnixConnection(accepted: Int32(result), from: peer, at: address)
    } catch {
      throw error.saying("accept \(address)")
    }
  }

  /// Stops listening: whoever waits in `accept` gets `.closed`. Removes the socket's file. Closing again does nothing.
  public func close() {
    // The file first: a listener that takes its place must not lose its own.
    descriptor.close { removeFile() }
  }

  /// The path.
  public var description: String { address.description }

  private func removeFile() {
    if let path { _ = apus_unlink(path) }
  }
}
