import ApusRuntime
import CApus

/// A connection between two processes of one machine: a stream of bytes in each direction.
///
/// The socket is closed by `close`, or with the last reference.
public final class UnixConnection: ByteStream {
  private let descriptor: Descriptor
  /// This side's path; a client has none, and the address prints as `unnamed socket`.
  public let localAddress: SocketAddress
  /// The other side's path, likewise.
  public let remoteAddress: SocketAddress

  /// Connects to the socket at `path`; a path that begins with `@` is a name in the abstract namespace.
  ///
  /// Throws a `NetError`: `.refused` when nobody listens there, `.system` when there is no such file, when it has more than
  /// 107 bytes, or when more connections wait to be accepted than the listener allows.
  public init(path: String) throws {
    let address = SocketAddress(path: path)
    try address.checkPath("dial \(path)")
    let socket = try Dialler.connect(to: address, until: nil)
    descriptor = Descriptor(socket.number, socket.record)
    localAddress = socket.local
    remoteAddress = socket.remote
  }

  /// Takes over a socket that a listener has accepted; closes it when that fails.
  init(accepted number: Int32, from peer: SocketAddress, at address: SocketAddress) throws(SystemError) {
    descriptor = Descriptor(number, try Descriptor.register(number).get())
    localAddress = address
    remoteAddress = peer
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
    let result = descriptor.receive(buffer)
    if result < 0 { throw failure(result, "read") }
    return Int(result)
  }

  public func read(scattering buffers: [UnsafeMutableRawBufferPointer]) throws -> Int {
    let result = descriptor.read(scattering: buffers, apus_receive_vectors)
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

  /// Sends no more: the other side reads the end of the stream once it has read everything.
  public func closeWrite() throws {
    let result = descriptor.using { Int64(apus_shutdown_write($0)) }
    if result < 0 { throw failure(result, "close") }
  }

  /// Reads no more: reads find the end of the stream, and the other side can write no more.
  public func closeRead() throws {
    let result = descriptor.using { Int64(apus_shutdown_read($0)) }
    if result < 0 { throw failure(result, "close") }
  }

  public func close() {
    descriptor.close()
  }

  /// The path of the end that has one: the listener's.
  public var description: String {
    if case .none = remoteAddress.storage { return localAddress.description }
    return remoteAddress.description
  }

  @inline(never)
  private func failure(_ outcome: Int64, _ operation: StaticString) -> NetError {
    SystemError(outcome: outcome).saying("\(operation) \(self)")
  }
}

extension SocketAddress {
  /// Throws for a path that no socket can have.
  func checkPath(_ operation: String) throws(NetError) {
    guard case .unix(let path) = storage else { return }
    let isAbstract = path.hasPrefix("@")
    if path.isEmpty || (path.utf8.contains(0) && !isAbstract) {
      throw NetError(.system, operation, errno: Number.invalid, reason: "not a path")
    }
    let limit = isAbstract ? Self.pathLimit + 1 : Self.pathLimit
    if path.utf8.count > limit {
      let reason = "path of \(path.utf8.count) bytes is too long (at most \(limit))"
      throw NetError(.system, operation, errno: Number.nameTooLong, reason: reason)
    }
  }
}
