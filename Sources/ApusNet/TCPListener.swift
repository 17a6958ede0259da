import ApusRuntime
import CApus

/// Waits for TCP connections at an address.
///
/// Several goroutines may accept at the same time. The socket is closed by `close`, or with the last reference.
public final class TCPListener: Sendable, CustomStringConvertible {
  private let descriptor: Descriptor
  /// Where it listens, with the port that the system chose where 0 was asked for.
  public let address: SocketAddress

  /// Listens at `host`, `port`. An empty host, or `::`, stands for all addresses of the machine, of IPv6 and IPv4; a name
  /// is resolved, and the first of its addresses taken (an IPv4 one if there is any). Port 0 has the system choose one.
  ///
  /// A port of which a former listener's connections still linger can be used at once (SO_REUSEADDR). With `reusePort`
  /// several listeners, also of several processes, share one port, and the system spreads the connections over them.
  ///
  /// Throws a `NetError`: when the address is in use or not this machine's, for a name that cannot be resolved, and for a
  /// port outside 0 to 65535.
  public init(host: String = "127.0.0.1", port: Int, reusePort: Bool = false) throws {
    let operation = "listen \(SocketAddress.text(host, port))"
    let number = try SocketAddress.portNumber(port, operation)
    var wanted: SocketAddress
    if host.isEmpty {
      wanted = SocketAddress(.v6(0, 0, scope: 0, port: number))
    } else {
      let found = try Resolver.addresses(of: host, port: number, until: nil, operation)
      wanted = found.first { $0.isV4 } ?? found[0]
    }
    let parts: (Int32, PollDescriptorRef, SocketAddress)
    do throws(SystemError) {
      parts = try Self.listen(at: wanted, reusePort: reusePort)
    } catch {
      // A machine without IPv6 has its IPv4 addresses all the same.
      guard host.isEmpty, error.number == Number.familyNotSupported || error.number == Number.addressNotAvailable else {
        throw error.saying(operation)
      }
      wanted = SocketAddress(.v4(0, port: number))
      do throws(SystemError) {
        parts = try Self.listen(at: wanted, reusePort: reusePort)
      } catch {
        throw error.saying(operation)
      }
    }
    descriptor = Descriptor(parts.0, parts.1)
    address = parts.2
  }

  static func listen(
    at address: SocketAddress, reusePort: Bool
  ) throws(SystemError) -> (Int32, PollDescriptorRef, SocketAddress) {
    try Descriptor.listening(at: address) { number in
      if !address.isV4 { _ = apus_set_option(number, APUS_OPTION_V6_ONLY, address.isWildcard ? 0 : 1) }
      // What accepted connections have from the start, without a call for each.
      _ = apus_set_option(number, APUS_OPTION_NO_DELAY, 1)
      KeepAlive.standard.apply(to: number)
      let error = apus_set_option(number, APUS_OPTION_REUSE_ADDRESS, 1)
      return error == 0 && reusePort ? apus_set_option(number, APUS_OPTION_REUSE_PORT, 1) : error
    }
  }

  /// When an `accept` that is waiting, and those to come, fail with `.timedOut`; nil for never. It may be set at any time
  /// from any goroutine.
  public var deadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.read) }
    set { descriptor.setDeadline(.read, newValue) }
  }

  /// Waits for the next connection. Connections that were broken off while they waited are passed over; while the process
  /// has no descriptor left it waits for one, so a server's loop need not care.
  ///
  /// Throws a `NetError`: `.closed` when the listener is closed, also while this waits, and `.timedOut`.
  public func accept() throws -> TCPConnection {
    var peer = SocketAddress(.none)
    let result = descriptor.accept(&peer)
    if result < 0 { throw SystemError(outcome: result).saying("accept \(address)") }
    do throws(SystemError) {
      return try TCPConnection(accepted: Int32(result), from: peer, at: address)
    } catch {
      throw error.saying("accept \(address)")
    }
  }

  /// Stops listening: whoever waits in `accept` gets `.closed`. When it returns the address is free. Closing again does
  /// nothing.
  public func close() {
    descriptor.close()
  }

  /// The address.
  public var description: String { address.description }
}
