import ApusRuntime
import CApus

/// A TCP connection: a stream of bytes in each direction.
///
/// What is written is sent at once (`noDelay`), and a peer that has vanished is found out by keep-alive probes after some
/// minutes. The socket is closed by `close`, or with the last reference.
public final class TCPConnection: ByteStream {
  private let descriptor: Descriptor
  // Only whoever is alone in reading uses it; Swift's own check would cost more than the copy.
  @exclusivity(unchecked) private nonisolated(unsafe) var ahead = ReadAhead()
  /// This side's address, with the port that the system chose.
  public let localAddress: SocketAddress
  /// The other side's address.
  public let remoteAddress: SocketAddress

  /// Connects to `host`, `port`. A host that is no address in numbers is resolved; each of its addresses is tried, of
  /// IPv6 and IPv4 in turn, the next one a quarter of a second after the one before or as soon as that has failed, and the
  /// first that answers is taken (RFC 8305). Without an answer it gives up after `timeout`, resolving included; without a
  /// timeout when the system does, after minutes.
  ///
  /// Throws a `NetError`: `.resolve`, `.refused`, `.timedOut`; `.system` for a port outside 0 to 65535 among others.
  public init(host: String, port: Int, timeout: Duration? = nil) throws {
    let socket = try Dialler.connect(host: host, port: port, timeout: timeout)
    descriptor = Descriptor(socket.number, socket.record, tellsDrained: true)
    localAddress = socket.local
    remoteAddress = socket.remote
  }

  /// Connects to an address. Throws as `init(host:port:timeout:)` does.
  public init(to address: SocketAddress, timeout: Duration? = nil) throws {
    if address.family != APUS_FAMILY_V4 && address.family != APUS_FAMILY_V6 {
      throw NetError(.system, "dial \(address)", errno: Number.invalid, reason: "not an address of TCP")
    }
    if let timeout, timeout <= .zero { throw NetError(kind: .timedOut, operation: "dial \(address)") }
    let socket = try Dialler.connect(to: address, until: timeout.map { Deadline.after($0) })
    descriptor = Descriptor(socket.number, socket.record, tellsDrained: true)
    localAddress = socket.local
    remoteAddress = socket.remote
  }

  /// Takes over a socket that a listener at `address` has accepted; closes it when that fails.
  init(accepted number: Int32, from peer: SocketAddress, at address: SocketAddress) throws(SystemError) {
    let record = try Descriptor.register(number).get()
    descriptor = Descriptor(number, record, tellsDrained: true)
    remoteAddress = peer
    if address.isWildcard {
      var kernel = apus_address()
      localAddress = apus_local_address(number, &kernel) == 0 ? SocketAddress(&kernel) : address
    } else {
      localAddress = address
    }
  }

  public var readDeadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.read) }
    set { descriptor.setDeadline(.read, newValue) }
  }

  public var writeDeadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.write) }
    set { descriptor.setDeadline(.write, newValue) }
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let result = descriptor.receive(buffer, &ahead)
    if result < 0 { throw failure(result, "read") }
    return Int(result)
  }

  public func read(scattering buffers: [UnsafeMutableRawBufferPointer]) throws -> Int {
    let result = descriptor.receive(scattering: buffers, &ahead)
    if result < 0 { throw failure(result, "read") }
    return Int(result)
  }

  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    let result = descriptor.send(bytes)
    if result < 0 { throw failure(result, "write") }
  }

  public func write(gathering parts: [UnsafeRawBufferPointer]) throws {
    let result = descriptor.write(gathering: parts, apus_send_vectors)
    if result < 0 { throw failure(result, "write") }
  }

  /// Sends no more: the other side reads the end of the stream once it has read everything. What it sends can still be
  /// read. Later writes fail.
  public func closeWrite() throws {
    let result = descriptor.using { Int64(apus_shutdown_write($0)) }
    if result < 0 { throw failure(result, "close") }
  }

  /// Reads no more: reads find the end of the stream, and what still comes is thrown away.
  public func closeRead() throws {
    let result = descriptor.using { Int64(apus_shutdown_read($0)) }
    if result < 0 { throw failure(result, "close") }
  }

  public func close() {
    descriptor.close()
  }

  /// Whether small writes are sent at once, as they are unless this is set to false; else the system may hold them back
  /// for up to 40 ms to fill a packet (Nagle's algorithm). On a closed connection it is false, and setting it does nothing.
  public var noDelay: Bool {
    get { descriptor.using { Int64(apus_get_option($0, APUS_OPTION_NO_DELAY)) } > 0 }
    set { _ = descriptor.using { Int64(apus_set_option($0, APUS_OPTION_NO_DELAY, newValue ? 1 : 0)) } }
  }

  /// What `close` does with what is written and not yet sent: nil, it is sent in the background, as long as that takes; a
  /// number of seconds, `close` waits until it is sent, but not longer; zero, it is thrown away, and the other side finds
  /// the connection reset.
  public func setLinger(_ seconds: Int?) {
    _ = descriptor.using {
      Int64(apus_set_option($0, APUS_OPTION_LINGER_SECONDS, seconds.map { Int32(clamping: max($0, 0)) } ?? -1))
    }
  }

  /// The other side's address.
  public var description: String { remoteAddress.description }

  @inline(never)
  private func failure(_ outcome: Int64, _ operation: StaticString) -> NetError {
    SystemError(outcome: outcome).saying("\(operation) \(remoteAddress)")
  }
}
