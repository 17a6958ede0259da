import Apus
import ApusRuntime
import CApus

/// A socket that is connected, on its way to the object that will own it.
struct ConnectedSocket {
  var number: Int32
  var record: PollDescriptorRef
  var local: SocketAddress
  var remote: SocketAddress
}

/// A socket that is being connected. Whoever made it closes it or makes a `ConnectedSocket` of it.
struct ConnectAttempt: @unchecked Sendable {
  // Unchecked: one goroutine waits, another may set the deadline; the record is made for that.
  let number: Int32
  private let record: PollDescriptorRef
  private let remote: SocketAddress

  /// Makes a socket and begins to connect it (Go's `netFD.connect`). `deadline`: a time of the scheduler's clock; nil for
  /// none.
  init(to remote: SocketAddress, until deadline: Int64?) throws(SystemError) {
    var kernel = apus_address()
    if !remote.write(to: &kernel) { throw SystemError(Number.nameTooLong) }
    number = apus_socket(remote.family, APUS_SOCKET_STREAM)
    if number < 0 { throw SystemError(-number) }
    self.remote = remote
    if remote.port != 0 {
      // Before the connection is made: what is set now holds for its first byte.
      _ = apus_set_option(number, APUS_OPTION_NO_DELAY, 1)
      KeepAlive.standard.apply(to: number)
    }
    let result = apus_connect(number, &kernel)
    // An interrupted connect goes on by itself, as one in progress.
    if result < 0 && result != -Number.inProgress && result != -Number.interrupted && result != -Number.isConnected {
      _ = apus_close(number)
      throw SystemError(-result)
    }
    // After the call: a socket that was not asked to connect yet would cause an event, as one that has been hung up.
    record = try Descriptor.register(number).get()
    if let deadline { record.setDeadline(.write, at: deadline) }
  }

  /// Waits until it is connected, or is not; 0, or why not as `Descriptor.Outcome` has it.
  func wait() -> Int64 {
    while true {
      let error = apus_get_option(number, APUS_OPTION_ERROR)
      if error != 0 { return -Int64(abs(error)) }
      var peer = apus_address()
      // No error: connected, or still on the way.
      if apus_remote_address(number, &peer) == 0 { return 0 }
      let outcome = record.wait(.write)
      if outcome != .ready { return outcome == .timedOut ? Descriptor.Outcome.timedOut : Descriptor.Outcome.closed }
    }
  }

  /// Has `wait` end soon, if it has not.
  func callOff() {
    record.setDeadline(.write, at: 1)
  }

  /// Nobody waits any more.
  func close() {
    record.beginClosing()
    Netpoll.close(record)
    _ = apus_close(number)
  }

  /// `wait` has returned 0.
  func connected() -> ConnectedSocket {
    record.setDeadline(.write, at: 0)
    var kernel = apus_address()
    let local = apus_local_address(number, &kernel) == 0 ? SocketAddress(&kernel) : SocketAddress(.none)
    return ConnectedSocket(number: number, record: record, local: local, remote: remote)
  }
}

/// Connecting to a name or an address (Go's `Dialer`).
enum Dialler {
  /// How long an address is tried alone before the next is tried beside it (RFC 8305, "Connection Attempt Delay").
  private static var stagger: Duration { .milliseconds(250) }

  /// Connects to what `host` stands for, trying all its addresses. Without an answer it gives up after `timeout`.
  static func connect(host: String, port: Int, timeout: Duration?) throws(NetError) -> ConnectedSocket {
    let operation = "dial \(SocketAddress.text(host, port))"
    let number = try SocketAddress.portNumber(port, operation)
    let deadline = timeout.map { Deadline.after($0) }
    if let timeout, timeout <= .zero { throw NetError(kind: .timedOut, operation: operation) }
    let found = try Resolver.addresses(
      of: host.isEmpty ? "localhost" : host, port: number, until: deadline, operation)
    if found.count == 1 { return try connect(to: found[0], until: deadline) }
    return try race(alternating(found), until: deadline, operation)
  }

  /// Connects to one address.
  static func connect(to address: SocketAddress, until deadline: Int64?) throws(NetError) -> ConnectedSocket {
    // A connection to a local port that nobody listens at may be given that very port for its own end, and so meet
    // itself. And the kernel may be out of ports for a moment. Both are tried again, as Go does.
    var tries = 0
    while true {
      tries += 1
      do throws(SystemError) {
        let attempt = try ConnectAttempt(to: address, until: deadline)
        let outcome = attempt.wait()
        if outcome == 0 {
          let socket = attempt.connected()
          if address.port == 0 || socket.local != socket.remote { return socket }
          attempt.close()
          if tries > 2 { throw SystemError(Number.refused) }
          continue
        }
        attempt.close()
        if outcome == -Int64(Number.addressNotAvailable) && tries <= 2 { continue }
        throw SystemError(outcome: outcome)
      } catch {
        if error.number == Number.addressNotAvailable && tries <= 2 { continue }
        throw error.saying("dial \(address)")
      }
    }
  }

  /// One family after the other, beginning with that of the first (RFC 8305, section 4): where one of them leads nowhere,
  /// the second attempt is of the other.
  static func alternating(_ addresses: [SocketAddress]) -> [SocketAddress] {
    var first = addresses.filter { $0.isV4 == addresses[0].isV4 }[...]
    var second = addresses.filter { $0.isV4 != addresses[0].isV4 }[...]
    var result: [SocketAddress] = []
    while !first.isEmpty || !second.isEmpty {
      if let address = first.popFirst() { result.append(address) }
      if let address = second.popFirst() { result.append(address) }
    }
    return result
  }

  /// Tries the addresses in turn, each as soon as the one before has failed or has not answered for `stagger`, while those
  /// go on. The first that connects is taken; when all have failed, the error is the first's.
  static func race(
    _ addresses: [SocketAddress], until deadline: Int64?, _ operation: String
  ) throws(NetError) -> ConnectedSocket {
    let outcomes = Channel<(Int, Int64)>(capacity: addresses.count)
    var attempts: [Int: ConnectAttempt] = [:]
    var next = 0
    var failure: NetError?
    var winner: ConnectedSocket?
    while winner == nil, !attempts.isEmpty || next < addresses.count {
      if next < addresses.count {
        do throws(SystemError) {
          let attempt = try ConnectAttempt(to: addresses[next], until: deadline)
          attempts[next] = attempt
          go((attempt, next, outcomes)) { attempt, index, outcomes in outcomes.send((index, attempt.wait())) }
        } catch {
          failure = failure ?? error.saying("dial \(addresses[next])")
          next += 1
          continue
        }
        next += 1
      }
      switch select(outcomes.receiving, next < addresses.count ? After.after(stagger) : nil) {
      case .first(let (index, outcome)?):
        guard let attempt = attempts.removeValue(forKey: index) else { break }
        if outcome == 0 {
          winner = attempt.connected()
        } else {
          attempt.close()
          failure = failure ?? SystemError(outcome: outcome).saying("dial \(addresses[index])")
        }
      case .first(nil), .second: break
      }
    }
    // Those who wait are told to stop, and a socket is closed when nobody does.
    for attempt in attempts.values { attempt.callOff() }
    while !attempts.isEmpty, let (index, _) = outcomes.receive() { attempts.removeValue(forKey: index)?.close() }
    if let winner { return winner }
    throw failure ?? NetError(kind: .resolve, operation: operation)
  }
}

/// How a dead peer is found out when nothing is sent: after `idle` seconds a probe is sent every `interval`. Go's figures;
/// the system gives up after nine without an answer.
struct KeepAlive {
  var idle: Int32
  var interval: Int32

  static var standard: KeepAlive { KeepAlive(idle: 15, interval: 15) }

  func apply(to number: Int32) {
    _ = apus_set_option(number, APUS_OPTION_KEEP_ALIVE, 1)
    _ = apus_set_option(number, APUS_OPTION_KEEP_IDLE, idle)
    _ = apus_set_option(number, APUS_OPTION_KEEP_INTERVAL, interval)
  }
}
