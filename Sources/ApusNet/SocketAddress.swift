import CApus

/// Where a socket is: an IP address and a port, or a path. Printed as `127.0.0.1:80`, `[::1]:80`, `/run/x.sock`.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  enum Storage: Hashable, Sendable {
    /// In the machine's own order of bytes.
    case v4(UInt32, port: UInt16)
    /// The network's order of bytes, read as two numbers by the machine. `scope`: a link-local address's interface.
    case v6(UInt64, UInt64, scope: UInt32, port: UInt16)
    case unix(String)
    /// A socket without an address, such as the client's of a Unix connection.
    case none
  }

  let storage: Storage

  init(_ storage: Storage) {
    self.storage = storage
  }

  /// The address `host`, `port`. A host written as numbers (`127.0.0.1`, `::1`, `fe80::1%eth0`) is taken as it stands; an
  /// empty one means all of the machine's addresses; any other is a name, which is resolved, and an IPv4 address is
  /// preferred among what it stands for. Resolving may take seconds; only the goroutine waits.
  ///
  /// Throws a `NetError`: for a name that cannot be resolved, and for a port outside 0 to 65535.
  public init(host: String, port: Int) throws {
    let operation = "resolve \(Self.text(host, port))"
    let number = try Self.portNumber(port, operation)
    if host.isEmpty {
      self.init(.v6(0, 0, scope: 0, port: number))
      return
    }
    let found = try Resolver.addresses(of: host, port: number, until: nil, operation)
    self = found.first { $0.isV4 } ?? found[0]
  }

  /// The address of a Unix socket. A path that begins with `@` stands for a name in the abstract namespace. Whether it is
  /// short enough (107 bytes) shows when it is used.
  public init(path: String) {
    self.init(.unix(path))
  }

  /// The address in its canonical text form, or the path.
  public var host: String {
    switch storage {
    case .v4, .v6:
      var kernel = apus_address()
      withUnsafeMutablePointer(to: &kernel) { _ = write(to: $0) }
      return String(unsafeUninitializedCapacity: 80) { buffer in
        buffer.withMemoryRebound(to: CChar.self) { Int(apus_address_text(&kernel, $0.baseAddress, $0.count)) }
      }
    case .unix(let path): return path
    case .none: return ""
    }
  }

  /// The port; 0 where there is none.
  public var port: Int {
    switch storage {
    case .v4(_, let port), .v6(_, _, _, let port): Int(port)
    case .unix, .none: 0
    }
  }

  public var description: String {
    switch storage {
    case .v4: "\(host):\(port)"
    case .v6: "[\(host)]:\(port)"
    case .unix(let path): path
    case .none: "unnamed socket"
    }
  }

  var isV4: Bool {
    if case .v4 = storage { return true }
    return false
  }

  /// The address of all interfaces.
  var isWildcard: Bool {
    switch storage {
    case .v4(0, _), .v6(0, 0, _, _): true
    default: false
    }
  }

  var family: Int32 {
    switch storage {
    case .v4: APUS_FAMILY_V4
    case .v6: APUS_FAMILY_V6
    case .unix: APUS_FAMILY_UNIX
    case .none: APUS_FAMILY_NONE
    }
  }

  /// The same address with another port.
  func with(port: UInt16) -> SocketAddress {
    switch storage {
    case .v4(let address, _): SocketAddress(.v4(address, port: port))
    case .v6(let high, let low, let scope, _): SocketAddress(.v6(high, low, scope: scope, port: port))
    case .unix, .none: self
    }
  }

  /// What an error says of an address that may be none.
  static func text(_ host: String, _ port: Int) -> String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  /// Checks a port's range.
  static func portNumber(_ port: Int, _ operation: @autoclosure () -> String) throws(NetError) -> UInt16 {
    if let number = UInt16(exactly: port) { return number }
    throw NetError(.system, operation(), errno: Number.invalid, reason: "invalid port (0 to 65535)")
  }
}
