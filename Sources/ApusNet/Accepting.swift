import ApusRuntime
import CApus

/// Listening sockets (Go's `netFD.listenStream`, `netFD.accept`).
extension Descriptor {
  /// A socket that listens at `address`, and the address that it got. `options` are set on it before; accepted sockets
  /// inherit most of them.
  static func listening(
    at address: SocketAddress, _ options: (Int32) -> Int32
  ) throws(SystemError) -> (Int32, PollDescriptorRef, SocketAddress) {
    var kernel = apus_address()
    if !address.write(to: &kernel) { throw SystemError(Number.nameTooLong) }
    let number = apus_socket(address.family, APUS_SOCKET_STREAM)
    if number < 0 { throw SystemError(-number) }
    var error = options(number)
    if error == 0 { error = apus_bind(number, &kernel) }
    if error == 0 { error = apus_listen(number) }
    if error == 0 { error = apus_local_address(number, &kernel) }
    if error < 0 {
      _ = apus_close(number)
      throw SystemError(-error)
    }
    return (number, try register(number).get(), SocketAddress(&kernel))
  }

  /// Waits for the next connection: its number, or why there is none.
  ///
  /// Where the process or the system has no descriptor (or no memory) left, the connection stays in the kernel's queue
  /// and is asked for again after 5 ms, then after twice as long each time up to a second, as Go's HTTP server does: there
  /// will be one when other connections are closed. The deadline and `close` end that, too.
  func accept(_ peer: inout SocketAddress) -> Int64 {
    var backoff: Int64 = 0
    while true {
      var kernel = apus_address()
      let result = perform(.read) { Int64(apus_accept($0, &kernel)) }
      switch result {
      case 0...:
        peer = SocketAddress(&kernel)
        return result
      case -Int64(Number.aborted):
        // The connection was reset before it could be accepted; there may be others.
        continue
      case -Int64(Number.tooManyInProcess), -Int64(Number.tooManyInSystem), -Int64(Number.noBuffers),
        -Int64(Number.noMemory):
        backoff = backoff == 0 ? 5_000_000 : min(backoff * 2, 1_000_000_000)
        let outcome = pause(nanoseconds: backoff)
        if outcome < 0 { return outcome }
      default:
        return result
      }
    }
  }
}
