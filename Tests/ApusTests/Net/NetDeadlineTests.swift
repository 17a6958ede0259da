import Apus
import ApusNet
import Testing

/// Deadlines of connections, listeners and datagram sockets.
@Suite struct NetDeadlineTests {
  private static let past = ContinuousClock.now - .seconds(5)

  @Test func acceptTimesOut() throws {
    let (past, future, error) = try onGoroutine {
      let listener = try TCPListener(port: 0)
      listener.deadline = Self.past
      let past = errorKind { _ = try listener.accept() }
      var error: NetError?
      let took = duration {
        listener.deadline = .now + .milliseconds(30)
        error = netError { _ = try listener.accept() }
      }
      return (past, took, error)
    }
    #expect(past == .timedOut)
    #expect(future >= .milliseconds(29))
    #expect(error?.kind == .timedOut)
    #expect(error.map { "\($0)" }?.hasSuffix(": i/o timeout") == true)
  }

  /// Also when a connection waits already.
  @Test func aPassedDeadlineComesBeforeAConnection() throws {
    let kinds = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
      listener.deadline = Self.past
      let kinds = [errorKind { _ = try listener.accept() }]
      listener.deadline = nil
      _ = client
      return kinds + [errorKind { _ = try listener.accept() }]
    }
    #expect(kinds == [.timedOut, nil])
  }

  @Test func anAcceptWithoutADeadlineWaits() throws {
    let (isStillWaiting, kind) = try onGoroutine {
      let listener = try TCPListener(port: 0)
      listener.deadline = .now + .milliseconds(20)
      listener.deadline = nil
      let kinds = Channel<NetError.Kind?>(capacity: 1)
      go { kinds.send(errorKind { _ = try listener.accept() }) }
      Goroutine.sleep(for: .milliseconds(60))
      let isStillWaiting = kinds.count == 0
      listener.close()
      return (isStillWaiting, kinds.receive()!)
    }
    #expect(isStillWaiting)
    #expect(kind == .closed)
  }

  @Test(arguments: ConnectionKind.allCases)
  func readsTimeOut(kind: ConnectionKind) throws {
    let (took, kinds, bytes) = try onGoroutine {
      let (client, server) = try kind.pair()
      var kinds: [NetError.Kind?] = []
      let took = duration {
        client.readDeadline = .now + .milliseconds(30)
        kinds.append(errorKind { _ = try client.read(upTo: 1) })
      }
      // It stays over until it is set anew, also with something to read.
      try server.write([1] as [UInt8])
      kinds.append(errorKind { _ = try client.read(upTo: 1) })
      client.readDeadline = Self.past
      kinds.append(errorKind { _ = try client.read(upTo: 1) })
      client.readDeadline = nil
      return (took, kinds, try client.readExactly(1))
    }
    #expect(took >= .milliseconds(29))
    #expect(kinds == [.timedOut, .timedOut, .timedOut])
    #expect(bytes == [1])
  }

  @Test(arguments: ConnectionKind.allCases)
  func writesTimeOut(kind: ConnectionKind) throws {
    let (took, kinds) = try onGoroutine {
      let (client, server) = try kind.pair()
      let block = [UInt8](repeating: 0, count: 1 << 16)
      var kinds: [NetError.Kind?] = []
      let took = duration {
        client.writeDeadline = .now + .milliseconds(30)
        kinds.append(errorKind { while true { try client.write(block) } })
      }
      kinds.append(errorKind { try client.write([1] as [UInt8]) })
      // Reading is another matter.
      try server.write([1] as [UInt8])
      kinds.append(errorKind { _ = try client.readExactly(1) })
      return (took, kinds)
    }
    #expect(took >= .milliseconds(29))
    #expect(kinds == [.timedOut, .timedOut, nil])
  }

  @Test func aDeadlineWakesWhoeverReads() throws {
    let kind = try onGoroutine {
      let (client, server) = try tcpPair()
      _ = server
      let kinds = Channel<NetError.Kind?>(capacity: 1)
      go { kinds.send(errorKind { _ = try client.read(upTo: 1) }) }
      Goroutine.sleep(for: .milliseconds(10))
      client.readDeadline = Self.past
      return kinds.receive()!
    }
    #expect(kind == .timedOut)
  }

  @Test func aDeadlineThatIsMovedOnIsKept() throws {
    let (kind, took) = try onGoroutine {
      let (client, server) = try tcpPair()
      _ = server
      client.readDeadline = .now + .milliseconds(500)
      let kinds = Channel<NetError.Kind?>(capacity: 1)
      go { kinds.send(errorKind { _ = try client.read(upTo: 1) }) }
      Goroutine.sleep(for: .milliseconds(5))
      let start = ContinuousClock.now
      client.readDeadline = .now + .milliseconds(800)
      return (kinds.receive()!, ContinuousClock.now - start)
    }
    #expect(kind == .timedOut)
    #expect(took >= .milliseconds(799))
  }

  /// A server that moves its deadline on before each read does not time out.
  @Test func deadlinesThatAreMovedOnAllTheTime() throws {
    let count = try onGoroutine {
      let (client, server) = try tcpPair()
      go {
        for round in 0..<30 {
          Goroutine.sleep(for: .milliseconds(2))
          try? client.write([UInt8(round)])
        }
        client.close()
      }
      var count = 0
      while true {
        server.readDeadline = .now + .seconds(20)
        server.writeDeadline = .now + .seconds(20)
        if try server.read(upTo: 1).isEmpty { return count }
        count += 1
      }
    }
    #expect(count == 30)
  }

  @Test func variousDeadlinesAreNeverEarly() throws {
    let faults = try onGoroutine {
      let (client, server) = try tcpPair()
      _ = server
      var faults: [String] = []
      for microseconds in [0, 1, 10, 100, 1000, 5000, 20_000] {
        for _ in 0..<(microseconds < 5000 ? 20 : 3) {
          var kind: NetError.Kind?
          let took = duration {
            client.readDeadline = .now + .microseconds(microseconds)
            kind = errorKind { _ = try client.read(upTo: 1) }
          }
          if kind != .timedOut || took < .microseconds(microseconds) { faults.append("\(microseconds) µs: \(took)") }
        }
      }
      return faults
    }
    #expect(faults == [])
  }

  @Test func readsAndDeadlinesRace() throws {
    let bytes = try onGoroutine {
      let (client, server) = try tcpPair()
      let isOver = Flag()
      let setters = WaitGroup()
      for worker in 0..<4 {
        setters.go {
          var round = worker
          while !isOver.isSet {
            round += 1
            client.readDeadline =
              round % 3 == 0 ? nil : .now + .microseconds(round % 3 == 1 ? -1 : round % 2000)
            if round % 16 == 0 { Goroutine.yield() }
          }
        }
      }
      go {
        for round in 0..<500 {
          try? server.write([UInt8(truncatingIfNeeded: round)])
          if round % 8 == 0 { Goroutine.yield() }
        }
      }
      var bytes: [UInt8] = []
      while bytes.count < 500 {
        do {
          bytes += try client.read(upTo: 100)
        } catch let error as NetError where error.kind == .timedOut {
          Goroutine.yield()
        }
      }
      isOver.set()
      setters.wait()
      return bytes
    }
    #expect(bytes == (0..<500).map { UInt8(truncatingIfNeeded: $0) })
  }

  @Test func deadlinesAreReadAsTheyWereSet() throws {
    let isSame = try onGoroutine {
      let (client, server) = try tcpPair()
      _ = server
      let (first, second) = (ContinuousClock.now + .seconds(3), Self.past)
      client.readDeadline = first
      client.writeDeadline = second
      let wereSet = client.readDeadline == first && client.writeDeadline == second
      client.setDeadline(nil)
      let wereCleared = client.readDeadline == nil && client.writeDeadline == nil
      client.setDeadline(first)
      client.close()
      return wereSet && wereCleared && client.readDeadline == nil
    }
    #expect(isSame)
  }

  @Test func datagramsTimeOut() throws {
    let (kinds, took) = try onGoroutine {
      let socket = try UDPSocket(host: "127.0.0.1", port: 0)
      socket.readDeadline = Self.past
      var kinds = [errorKind { _ = try socket.receive(upTo: 1) }]
      let took = duration {
        socket.readDeadline = .now + .milliseconds(30)
        kinds.append(errorKind { _ = try socket.receive(upTo: 1) })
      }
      socket.writeDeadline = Self.past
      kinds.append(errorKind { try socket.send([1] as [UInt8], to: socket.address) })
      socket.writeDeadline = nil
      kinds.append(errorKind { try socket.send([1] as [UInt8], to: socket.address) })
      return (kinds, took)
    }
    #expect(kinds == [.timedOut, .timedOut, .timedOut, nil])
    #expect(took >= .milliseconds(29))
  }
}
