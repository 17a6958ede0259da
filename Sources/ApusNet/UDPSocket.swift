import ApusRuntime
import CApus

/// Sends and receives datagrams.
///
/// One goroutine may receive while another sends. The socket is closed by `close`, or with the last reference.
public final class UDPSocket: Sendable, CustomStringConvertible {
  private let descriptor: Descriptor
  /// Where it receives, with the port that the system chose where 0 was asked for.
  public let address: SocketAddress

  /// A socket that receives at `host`, `port`. An empty host, or `::`, stands for all addresses of the machine, of IPv6 and
  /// IPv4; a name is resolved, and the first of its addresses taken (an IPv4 one if there is any). Port 0 has the system
  /// choose one. It may send to broadcast addresses.
  ///
  /// Throws a `NetError`: when the address is in use or not this machine's, for a name that cannot be resolved, and for a
  /// port outside 0 to 65535.
  public init(host: String, port: Int) throws {
    let operation = "listen \(SocketAddress.text(host, port))"
    let number = try SocketAddress.portNumber(port, operation)
    let choices: [SocketAddress]
    if host.isEmpty {
      choices = [SocketAddress(.v6(0, 0, scope: 0, port: number)), SocketAddress(.v4(0, port: number))]
    } else {
      let found = try Resolver.addresses(of: host, port: number, until: nil, operation)
      choices = [found.first { $0.isV4 } ?? found[0]]
    }
    let parts: (Int32, PollDescriptorRef, SocketAddress)
    do throws(SystemError) {
      parts = try Self.bind(choices[0])
    } catch {
      guard choices.count > 1,
        error.number == Number.familyNotSupported || error.number == Number.addressNotAvailable
      else { throw error.saying(operation) }
      do throws(SystemError) {
        parts = try Self.bind(choices[1])
      } catch {
        throw error.saying(operation)
      }
    }
    descriptor = Descriptor(parts.0, parts.1)
    address = parts.2
  }

  private static func bind(_ address: SocketAddress) throws(SystemError) -> (Int32, PollDescriptorRef, SocketAddress) {
    let number = apus_socket(address.family, APUS_SOCKET_DATAGRAM)
    if number < 0 { throw SystemError(-number) }
    if !address.isV4 { _ = apus_set_option(number, APUS_OPTION_V6_ONLY, address.isWildcard ? 0 : 1) }
    _ = apus_set_option(number, APUS_OPTION_BROADCAST, 1)
    var kernel = apus_address()
    _ = address.write(to: &kernel)
    var error = apus_bind(number, &kernel)
    if error == 0 { error = apus_local_address(number, &kernel) }
    if error < 0 {
      _ = apus_close(number)
      throw SystemError(-error)
    }
    return (number, try Descriptor.register(number).get(), SocketAddress(&kernel))
  }

  /// When a `receive` that is waiting, and those to come, fail with `.timedOut`; nil for never. It may be set at any time
  /// from any goroutine.
  public var readDeadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.read) }
    set { descriptor.setDeadline(.read, newValue) }
  }

  /// The same for `send`, which waits only while the system has no room for the datagram.
  public var writeDeadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.write) }
    set { descriptor.setDeadline(.write, newValue) }
  }

  /// Sends `bytes` as one datagram; an empty one is a datagram, too. Whether it arrives nobody knows. Allocates nothing.
  ///
  /// Throws a `NetError`, for what is longer than a datagram can be (65,507 bytes by IPv4) among others.
  public func send(_ bytes: UnsafeRawBufferPointer, to destination: SocketAddress) throws {
    var kernel = apus_address()
    let isIP = destination.family == APUS_FAMILY_V4 || destination.family == APUS_FAMILY_V6
    if !isIP || (address.isV4 && !destination.isV4) {
      let reason = isIP ? "an IPv6 address for a socket of IPv4" : "not an address of UDP"
      throw NetError(.system, "write \(destination)", errno: Number.invalid, reason: reason)
    }
    _ = destination.write(to: &kernel, family: address.family)
    let result = descriptor.perform(.write) { apus_send_to($0, bytes.baseAddress, bytes.count, &kernel) }
    if result < 0 { throw SystemError(outcome: result).saying("write \(destination)") }
  }

  /// The same with any bytes. What does not lie in memory in one piece is copied first.
  public func send(_ bytes: some Sequence<UInt8>, to destination: SocketAddress) throws {
    let sent: Void? = try bytes.withContiguousStorageIfAvailable {
      try send(UnsafeRawBufferPointer($0), to: destination)
    }
    if sent == nil { try ContiguousArray(bytes).withUnsafeBytes { try send($0, to: destination) } }
  }

  /// Waits for a datagram: how many bytes of it were put into `buffer`, and who sent it. What does not fit is lost.
  /// Allocates nothing.
  public func receive(into buffer: UnsafeMutableRawBufferPointer) throws -> (count: Int, from: SocketAddress) {
    var kernel = apus_address()
    let result = descriptor.perform(.read) { apus_receive_from($0, buffer.baseAddress, buffer.count, &kernel) }
    if result < 0 { throw SystemError(outcome: result).saying("read \(address)") }
    return (Int(result), SocketAddress(&kernel))
  }

  /// Waits for a datagram, of which it takes at most `count` bytes.
  public func receive(upTo count: Int) throws -> (bytes: [UInt8], from: SocketAddress) {
    if count < 0 { throw NetError(.system, "read \(address)", errno: Number.invalid, reason: "negative count") }
    var sender = SocketAddress(.none)
    // No datagram is larger.
    let bytes = try [UInt8](unsafeUninitializedCapacity: min(count, 1 << 16)) { buffer, initialized in
      (initialized, sender) = try receive(into: UnsafeMutableRawBufferPointer(buffer))
    }
    return (bytes, sender)
  }

  /// Closes the socket: whoever waits gets `.closed`. Closing again does nothing.
  public func close() {
    descriptor.close()
  }

  /// The address.
  public var description: String { address.description }
}
