import Apus
import ApusRuntime
import CApus

/// Names to addresses, by getaddrinfo(3): as the machine is set up to do it, by files, DNS and whatever else.
enum Resolver {
  /// A call holds a thread while it waits for an answer, so there are not more at a time; further ones wait their turn.
  static let turns = Semaphore(32)

  /// So many addresses of a name are looked at.
  private static var limit: Int { 32 }

  private enum Answer: Sendable {
    case found([SocketAddress])
    case failed(Int32, errno: Int32)
  }

  /// What `host` stands for, in the order in which to try it (RFC 6724), with `port`; never empty. `deadline`: a time of
  /// the scheduler's clock at which to give up, nil for none; the call itself then goes on in the background.
  ///
  /// An address written as numbers is taken as it stands, without a call.
  static func addresses(
    of host: String, port: UInt16, until deadline: Int64?, _ operation: String
  ) throws(NetError) -> [SocketAddress] {
    if let address = literal(host) { return [address.with(port: port)] }
    // getaddrinfo would take what is before the zero.
    if host.utf8.contains(0) || host.utf8.count > 1024 {
      throw NetError(.resolve, operation, reason: "no host has such a name")
    }
    // In a goroutine of its own: somebody may give up on it, and libc wants more stack than the caller's may have.
    let answers = Channel<Answer>(capacity: 1)
    go(stackSize: 256 << 10) { answers.send(ask(host)) }
    let answer: Answer?
    if let deadline {
      switch select(answers.receiving, .after(.nanoseconds(deadline &- Clock.nanotime()))) {
      case .first(let received): answer = received
      case .second: throw NetError(kind: .timedOut, operation: operation)
      }
    } else {
      answer = answers.receive()
    }
    switch answer {
    case .found(let addresses):
      return addresses.map { $0.with(port: port) }
    case .failed(let result, let errno):
      let reason = errno != 0 ? Number.text(errno) : String(cString: apus_resolve_text(result))
      throw NetError(.resolve, operation, errno: errno, reason: reason)
    case nil:
      throw NetError(kind: .resolve, operation: operation)
    }
  }

  /// The address that `host` spells out, with port 0; nil where it is a name.
  static func literal(_ host: String) -> SocketAddress? {
    // A name of the C library's ends at a zero.
    if host.utf8.contains(0) { return nil }
    var kernel = apus_address()
    return apus_address_parse(host, &kernel) == 0 ? SocketAddress(&kernel) : nil
  }

  private static func ask(_ host: String) -> Answer {
    turns.acquire()
    defer { turns.release() }
    return withUnsafeTemporaryAllocation(of: apus_address.self, capacity: limit) { found in
      var errno: Int32 = 0
      Syscall.enter()
      let count = apus_resolve(host, found.baseAddress, Int32(limit), &errno)
      Syscall.exit()
      if count < 0 { return .failed(count, errno: errno) }
      return .found((0..<Int(count)).map { SocketAddress(found.baseAddress.unsafelyUnwrapped + $0) })
    }
  }
}
