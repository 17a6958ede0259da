import Apus
@testable import ApusNet
import ApusRuntime
import Testing

/// Connecting: by name and by number, one address and several, and what happens when nobody is there.
@Suite struct DialTests {
  @Test func aNameIsResolved() throws {
    let host = try onGoroutine {
      let listener = try TCPListener(port: 0)
      return try TCPConnection(host: "localhost", port: listener.address.port).remoteAddress.host
    }
    #expect(host == "127.0.0.1")
  }

  @Test func anEmptyHostIsThisMachine() throws {
    let port = try onGoroutine {
      let listener = try TCPListener(port: 0)
      return try TCPConnection(host: "", port: listener.address.port).remoteAddress.port - listener.address.port
    }
    #expect(port == 0)
  }

  @Test func aRefusedConnection() throws {
    let (error, port) = try onGoroutine {
      let port = try refusedPort()
      return (netError { _ = try TCPConnection(host: "127.0.0.1", port: port) }, port)
    }
    #expect(error?.kind == .refused)
    #expect(error?.errno == 111)
    #expect(error?.operation == "dial 127.0.0.1:\(port)")
    #expect(error.map { "\($0)" } == "dial 127.0.0.1:\(port): connection refused")
  }

  @Test(arguments: ["no-such-host.invalid", "a b", "127.0.0.1\0", "", "256.256.256.256", "::1::"])
  func anUnresolvableHost(host: String) {
    let error = onGoroutine { () -> NetError? in
      if host.isEmpty { return netError { _ = try SocketAddress(host: String(repeating: "x", count: 2000), port: 80) } }
      return netError { _ = try TCPConnection(host: host, port: 80) }
    }
    #expect(error?.kind == .resolve)
    if host == "no-such-host.invalid" {
      #expect(error?.operation == "dial no-such-host.invalid:80")
      #expect(error.map { "\($0)" }?.hasPrefix("dial no-such-host.invalid:80: ") == true)
    }
  }

  @Test(arguments: [-1, 65_536, Int.max, Int.min])
  func aPortOutOfRange(port: Int) {
    let errors = onGoroutine {
      [
        netError { _ = try TCPConnection(host: "127.0.0.1", port: port) },
        netError { _ = try TCPListener(port: port) },
        netError { _ = try UDPSocket(host: "127.0.0.1", port: port) },
        netError { _ = try SocketAddress(host: "127.0.0.1", port: port) },
      ]
    }
    let operations = ["dial", "listen", "listen", "resolve"]
    for (error, operation) in zip(errors, operations) {
      #expect(error?.kind == .system)
      #expect(error.map { "\($0)" } == "\(operation) 127.0.0.1:\(port): invalid port (0 to 65535)")
    }
  }

  @Test func aTimeoutEndsTheWait() throws {
    let (error, took, port) = onGoroutine {
      let silent = SilentPort()
      var error: NetError?
      let took = duration {
        error = netError { _ = try TCPConnection(host: "127.0.0.1", port: silent.port, timeout: .milliseconds(50)) }
      }
      return (error, took, silent.port)
    }
    #expect(error?.kind == .timedOut)
    #expect(error.map { "\($0)" } == "dial 127.0.0.1:\(port): i/o timeout")
    #expect(took >= .milliseconds(49))
    #expect(took < .seconds(30))
  }

  @Test(arguments: [Duration.zero, .seconds(-1), .seconds(Int64.min)])
  func aTimeoutThatHasPassed(timeout: Duration) throws {
    let kind = try onGoroutine {
      let listener = try TCPListener(port: 0)
      return errorKind { _ = try TCPConnection(host: "127.0.0.1", port: listener.address.port, timeout: timeout) }
    }
    #expect(kind == .timedOut)
  }

  @Test func aTimeoutThatNeverComes() throws {
    let kind = try onGoroutine {
      let listener = try TCPListener(port: 0)
      return errorKind {
        let client = try TCPConnection(
          host: "127.0.0.1", port: listener.address.port, timeout: .seconds(Int64.max))
        // The deadline of the connecting is not the connection's.
        try client.write([1] as [UInt8])
      }
    }
    #expect(kind == nil)
  }

  @Test func familiesAlternate() {
    func address(_ text: String) -> SocketAddress { Resolver.literal(text)! }
    let found = ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"].map(address)
    #expect(Dialler.alternating(found).map(\.host) == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"])
    #expect(Dialler.alternating([found[3], found[0]]).map(\.host) == ["127.0.0.1", "::1"])
  }

  /// A refused address costs no time: the next is tried at once.
  @Test func theNextAddressIsTriedWhenOneFails() throws {
    let (host, took) = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let port = listener.address.port
      let addresses = try (2...9).map { try SocketAddress(host: "127.0.0.\($0)", port: port) }
      var host = ""
      let took = duration {
        guard let socket = try? Dialler.race(addresses + [listener.address], until: nil, "dial") else { return }
        host = socket.remote.host
        Descriptor(socket.number, socket.record).close()
      }
      return (host, took)
    }
    #expect(host == "127.0.0.1")
    #expect(took < .milliseconds(250) * 8)
  }

  /// An address that does not answer is waited for a quarter of a second, and then the next is tried beside it.
  @Test func theNextAddressIsTriedWhenOneIsSilent() throws {
    let (host, took) = try onGoroutine {
      let silent = SilentPort()
      let listener = try TCPListener(port: 0)
      let addresses = [try SocketAddress(host: "127.0.0.1", port: silent.port), listener.address]
      var port = 0
      let took = duration {
        guard let socket = try? Dialler.race(addresses, until: nil, "dial") else { return }
        port = socket.remote.port
        Descriptor(socket.number, socket.record).close()
      }
      return (port == listener.address.port, took)
    }
    #expect(host)
    #expect(took >= .milliseconds(249))
    #expect(took < .seconds(30))
  }

  @Test func whenAllFailTheFirstErrorIsTold() throws {
    let (error, first) = try onGoroutine {
      let ports = try [refusedPort(), refusedPort()]
      let addresses = try ports.map { try SocketAddress(host: "127.0.0.1", port: $0) }
      return (netError { _ = try Dialler.race(addresses, until: nil, "dial") }, ports[0])
    }
    #expect(error?.kind == .refused)
    #expect(error?.operation == "dial 127.0.0.1:\(first)")
  }

  @Test func allSilentTimesOut() throws {
    let (kind, took) = onGoroutine {
      let (first, second) = (SilentPort(), SilentPort())
      var kind: NetError.Kind?
      let took = duration {
        kind = errorKind {
          let addresses = try [first, second].map { try SocketAddress(host: "127.0.0.1", port: $0.port) }
          _ = try Dialler.race(addresses, until: Deadline.after(.milliseconds(400)), "dial")
        }
      }
      return (kind, took)
    }
    #expect(kind == .timedOut)
    #expect(took >= .milliseconds(399))
    #expect(took < .seconds(30))
  }

  /// A lookup waits for its turn, and its caller no longer than it wants to.
  @Test func lookupsTakeTurns() throws {
    let (kind, early, late) = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let port = listener.address.port
      Resolver.turns.acquire(32)
      let kind = errorKind { _ = try TCPConnection(host: "localhost", port: port, timeout: .milliseconds(30)) }
      let found = Channel<Bool>(capacity: 1)
      go { found.send((try? TCPConnection(host: "localhost", port: port)) != nil) }
      Goroutine.sleep(for: .milliseconds(30))
      let early = found.count
      Resolver.turns.release(32)
      return (kind, early, found.receive())
    }
    #expect(kind == .timedOut)
    #expect(early == 0)
    #expect(late == true)
  }

  /// More lookups at once than there are turns for.
  @Test func manyNamesAreResolvedAtOnce() throws {
    let count = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let port = listener.address.port
      let group = WaitGroup()
      let good = Sum()
      for _ in 0..<100 {
        group.go { if (try? TCPConnection(host: "localhost", port: port)) != nil { good.add() } }
      }
      group.wait()
      return good.value
    }
    #expect(count == 100)
  }
}
