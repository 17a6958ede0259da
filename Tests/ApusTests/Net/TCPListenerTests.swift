import Apus
import ApusNet
import Testing

/// Listeners: what they are given, and how accepting ends.
@Suite struct TCPListenerTests {
  @Test func theSystemChoosesAPort() throws {
    let addresses = try onGoroutine {
      let (first, second) = (try TCPListener(port: 0), try TCPListener(port: 0))
      return [first.address, second.address]
    }
    #expect(addresses[0] != addresses[1])
    #expect(addresses.allSatisfy { $0.host == "127.0.0.1" && $0.port > 0 })
  }

  @Test func anAddressInUseIsAnError() throws {
    let error = try onGoroutine {
      let listener = try TCPListener(port: 0)
      return netError { _ = try TCPListener(port: listener.address.port) }
    }
    #expect(error?.kind == .system)
    #expect(error?.errno == 98)
    #expect(error.map { "\($0)" }?.hasPrefix("listen 127.0.0.1:") == true)
    #expect(error.map { "\($0)" }?.hasSuffix(": address already in use") == true)
  }

  @Test func severalShareAPort() throws {
    let counts = try onGoroutine {
      let first = try TCPListener(port: 0, reusePort: true)
      let second = try TCPListener(port: first.address.port, reusePort: true)
      let accepted = Channel<Int>(capacity: 100)
      for (index, listener) in [first, second].enumerated() {
        go { while (try? listener.accept()) != nil { accepted.send(index) } }
      }
      let clients = try (0..<100).map { _ in try TCPConnection(host: "127.0.0.1", port: first.address.port) }
      var counts = [0, 0]
      for _ in clients { counts[accepted.receive()!] += 1 }
      first.close()
      second.close()
      return counts
    }
    // By a hash of the addresses: that all hundred go one way is as likely as nothing.
    #expect(counts.reduce(0, +) == 100)
    #expect(counts.allSatisfy { $0 > 0 })
  }

  @Test func closeWakesEveryAcceptor() throws {
    let kinds = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let kinds = Channel<NetError.Kind?>(capacity: 4)
      for _ in 0..<4 { go { kinds.send(errorKind { _ = try listener.accept() }) } }
      Goroutine.sleep(for: .milliseconds(10))
      listener.close()
      return (0..<4).map { _ in kinds.receive()! } + [errorKind { _ = try listener.accept() }]
    }
    #expect(kinds == [NetError.Kind?](repeating: .closed, count: 5))
  }

  /// When `close` has returned, the port is free, whoever was waiting.
  @Test func aClosedListenersPortIsFree() throws {
    let rounds = try onGoroutine {
      let port = try refusedPort()
      for round in 0..<50 {
        let listener = try TCPListener(port: port)
        let kinds = Channel<NetError.Kind?>(capacity: 1)
        go { kinds.send(errorKind { _ = try listener.accept() }) }
        if round % 2 == 0 { Goroutine.yield() }
        listener.close()
        _ = kinds.receive()
      }
      return errorKind { _ = try TCPConnection(host: "127.0.0.1", port: port) }
    }
    #expect(rounds == .refused)
  }

  @Test func aListenerIsClosedWithItsLastReference() throws {
    let kind = try onGoroutine {
      var listener: TCPListener? = try TCPListener(port: 0)
      let port = listener!.address.port
      listener = nil
      return errorKind { _ = try TCPConnection(host: "127.0.0.1", port: port) }
    }
    #expect(kind == .refused)
  }

  /// Connections that were broken off while they waited are not the acceptor's business.
  @Test func abortedConnectionsAreAcceptedOrPassedOver() throws {
    let byte = try onGoroutine {
      let listener = try TCPListener(port: 0)
      for _ in 0..<5 { RawSocket(connectedTo: listener.address.port).breakOff() }
      let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
      try client.write([42] as [UInt8])
      // Linux hands out what was reset; it is seen by the first read.
      while true {
        let connection = try listener.accept()
        if connection.remoteAddress == client.localAddress { return try connection.readExactly(1) }
        if errorKind({ _ = try connection.read(upTo: 1) }) != .reset { return [] }
      }
    }
    #expect(byte == [42])
  }

  @Test func severalAccept() throws {
    let count = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let accepted = Channel<TCPConnection>(capacity: 200)
      let acceptors = WaitGroup()
      for _ in 0..<4 { acceptors.go { while let connection = try? listener.accept() { accepted.send(connection) } } }
      let clients = try (0..<200).map { _ in try TCPConnection(host: "127.0.0.1", port: listener.address.port) }
      var peers: Set<SocketAddress> = []
      for _ in clients { peers.insert(accepted.receive()!.remoteAddress) }
      listener.close()
      acceptors.wait()
      return peers == Set(clients.map(\.localAddress)) ? peers.count : 0
    }
    #expect(count == 200)
  }

  @Test func allAddressesAreServed() throws {
    let (hosts, locals) = try onGoroutine {
      let listener = try TCPListener(host: "", port: 0)
      let port = listener.address.port
      var (hosts, locals): ([String], [String]) = ([], [])
      for host in ["127.0.0.1", "::1", "localhost"] {
        let client = try TCPConnection(host: host, port: port)
        let server = try listener.accept()
        hosts.append(server.remoteAddress.host)
        locals.append(server.localAddress.description == client.remoteAddress.description ? "same" : "other")
      }
      return (hosts, locals)
    }
    #expect(hosts.prefix(2) == ["127.0.0.1", "::1"])
    #expect(locals == ["same", "same", "same"])
  }

  @Test func aListenerOfIPv6() throws {
    let (address, byte) = try onGoroutine {
      let listener = try TCPListener(host: "::1", port: 0)
      let client = try TCPConnection(host: "::1", port: listener.address.port)
      try client.write([6] as [UInt8])
      return (listener.address.description, try listener.accept().readExactly(1))
    }
    #expect(address.hasPrefix("[::1]:"))
    #expect(byte == [6])
  }
}
