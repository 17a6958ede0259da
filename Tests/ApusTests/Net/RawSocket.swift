import CApus
import Glibc

/// A client's TCP socket without any of ours above it, for what ours does not do.
final class RawSocket: Sendable {
  private let descriptor: Int32

  /// Connects to a port of the loopback interface.
  init(connectedTo port: Int) {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var one: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    var address = apus_address()
    precondition(apus_address_parse("127.0.0.1", &address) == 0)
    address.port = UInt16(port)
    precondition(apus_connect(descriptor, &address) == 0)
  }

  deinit { Glibc.close(descriptor) }

  func send(_ bytes: [UInt8], urgent: Bool = false) {
    precondition(Glibc.send(descriptor, bytes, bytes.count, urgent ? Int32(MSG_OOB) : 0) == bytes.count)
  }

  /// Has the connection broken off when the object goes.
  func breakOff() {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
  }
}
