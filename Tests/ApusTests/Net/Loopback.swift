import Apus
import ApusNet
import Glibc

/// A connection of each kind, as a test wants to try both.
enum ConnectionKind: CaseIterable, Sendable {
  case tcp, unix

  /// Both ends of a new connection.
  func pair() throws -> (client: any ByteStream, server: any ByteStream) {
    switch self {
    case .tcp:
      let listener = try TCPListener(port: 0)
      defer { listener.close() }
      let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
      return (client, try listener.accept())
    case .unix:
      let listener = try UnixListener(path: temporaryPath())
      defer { listener.close() }
      let client = try UnixConnection(path: listener.address.host)
      return (client, try listener.accept())
    }
  }
}

/// Both ends of a new TCP connection.
func tcpPair() throws -> (client: TCPConnection, server: TCPConnection) {
  let listener = try TCPListener(port: 0)
  defer { listener.close() }
  let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
  return (client, try listener.accept())
}

/// The path of a socket that nobody else has, short enough for one.
func temporaryPath() -> String {
  "/tmp/apus-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
}

/// What `body` throws, if it is an error of the network; anything else fails the test.
func netError(_ body: () throws -> Void) -> NetError? {
  do {
    try body()
  } catch let error as NetError {
    return error
  } catch {
    fatalError("\(error) is no NetError")
  }
  return nil
}

/// The kind of error that `body` throws; nil for none.
func errorKind(_ body: () throws -> Void) -> NetError.Kind? { netError(body)?.kind }

/// How long `body` takes.
func duration(_ body: () -> Void) -> Duration { ContinuousClock().measure(body) }

/// A TCP port of the loopback interface that never answers: its queue of connections is full, and the kernel drops what
/// comes for it. Closed with the object.
final class SilentPort: Sendable {
  let port: Int
  private let descriptors: [Int32]

  init() {
    func address(_ port: UInt16) -> sockaddr_in {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      return address
    }
    func call(
      _ function: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, _ socket: Int32, _ port: UInt16
    ) -> Int32 {
      var address = address(port)
      return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          function(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    precondition(call(bind, listener, 0) == 0 && listen(listener, 0) == 0)
    var bound = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &bound) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
    }
    port = Int(UInt16(bigEndian: bound.sin_port))
    var descriptors = [listener]
    // One more than the queue takes, to be sure.
    for _ in 0..<3 {
      let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
      let client = socket(AF_INET, flags, 0)
      _ = call(connect, client, UInt16(port))
      descriptors.append(client)
    }
    self.descriptors = descriptors
  }

  deinit { for descriptor in descriptors { Glibc.close(descriptor) } }
}

/// A TCP port of the loopback interface at which nobody listens. Somebody could take it, so it is only likely to stay so.
func refusedPort() throws -> Int {
  let listener = try TCPListener(port: 0)
  defer { listener.close() }
  return listener.address.port
}
