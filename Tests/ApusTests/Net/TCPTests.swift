import Apus
@testable import ApusNet
import CApus
import Testing

/// TCP connections and listeners: what goes through, how they end, what they are called.
@Suite struct TCPTests {
  @Test func bytesGoBothWays() throws {
    let (there, back) = try onGoroutine {
      let (client, server) = try tcpPair()
      try client.write("hello".utf8)
      let there = try server.read(upTo: 100)
      try server.write([1, 2, 3] as [UInt8])
      return (there, try client.readExactly(3))
    }
    #expect(there == Array("hello".utf8))
    #expect(back == [1, 2, 3])
  }

  /// More than any buffer of the kernel's holds: writes wait for room, reads for data.
  @Test(arguments: ConnectionKind.allCases)
  func muchGoesThrough(kind: ConnectionKind) throws {
    let isWhole = try onGoroutine {
      let (client, server) = try kind.pair()
      let pattern = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
      var bytes: [UInt8] = []
      for _ in 0..<128 { bytes += pattern }
      let sent = bytes
      let received = Channel<Bool>()
      go {
        let got = try? server.readExactly(sent.count)
        received.send(got == sent)
      }
      try client.write(sent)
      return received.receive()!
    }
    #expect(isWhole)
  }

  @Test func theEndIsReadAsNothing() throws {
    let counts = try onGoroutine {
      let (client, server) = try tcpPair()
      try client.write([7] as [UInt8])
      client.close()
      return try [server.read(upTo: 10).count, server.read(upTo: 10).count, server.read(upTo: 10).count]
    }
    #expect(counts == [1, 0, 0])
  }

  /// The last bytes and the end may come in one event, and the read that takes the bytes gets less than it asks for.
  @Test func theEndIsNotMissedBehindTheLastBytes() throws {
    let rounds = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let port = listener.address.port
      go {
        while let connection = try? listener.accept() {
          go(connection) { connection in
            _ = try? connection.read(upTo: 1)
            try? connection.write([1, 2, 3] as [UInt8])
            connection.close()
          }
        }
      }
      for _ in 0..<500 {
        let client = try TCPConnection(host: "127.0.0.1", port: port)
        client.readDeadline = .now + .seconds(20)
        try client.write([0] as [UInt8])
        var got = 0
        while true {
          let count = try client.read(upTo: 100).count
          if count == 0 { break }
          got += count
        }
        if got != 3 { return 0 }
      }
      listener.close()
      return 500
    }
    #expect(rounds == 500)
  }

  /// Urgent data ends a read early, though there is more.
  @Test func urgentDataDoesNotHideWhatFollows() throws {
    let bytes = try onGoroutine {
      let listener = try TCPListener(port: 0)
      let sender = RawSocket(connectedTo: listener.address.port)
      let server = try listener.accept()
      server.readDeadline = .now + .seconds(20)
      sender.send([1, 2])
      sender.send([9], urgent: true)
      sender.send([3, 4])
      Goroutine.sleep(for: .milliseconds(20))
      var bytes: [UInt8] = []
      while bytes.count < 4 { bytes += try server.read(upTo: 100) }
      return bytes
    }
    #expect(bytes == [1, 2, 3, 4])
  }

  @Test func halfClose() throws {
    let (request, reply, later) = try onGoroutine {
      let (client, server) = try tcpPair()
      try client.write("question".utf8)
      try client.closeWrite()
      var request: [UInt8] = []
      while true {
        let part = try server.read(upTo: 4)
        if part.isEmpty { break }
        request += part
      }
      try server.write("answer".utf8)
      server.close()
      let reply = try client.readExactly(6)
      return (request, reply, errorKind { try client.write([1] as [UInt8]) })
    }
    #expect(request == Array("question".utf8))
    #expect(reply == Array("answer".utf8))
    #expect(later == .reset)
  }

  @Test func closeRead() throws {
    let count = try onGoroutine {
      let (client, server) = try tcpPair()
      _ = server
      try client.closeRead()
      return try client.read(upTo: 10).count
    }
    #expect(count == 0)
  }

  @Test(arguments: ConnectionKind.allCases)
  func aReadOfNothingReturnsAtOnce(kind: ConnectionKind) throws {
    let (count, after) = try onGoroutine {
      let (client, server) = try kind.pair()
      // Neither with nothing there, nor with something, nor at the end.
      var count = try client.read(into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
      try server.write([5] as [UInt8])
      count += try client.read(upTo: 0).count
      let after = try client.readExactly(1)
      server.close()
      count += try client.read(upTo: 0).count
      return (count, after)
    }
    #expect(count == 0)
    #expect(after == [5])
  }

  @Test(arguments: ConnectionKind.allCases)
  func closeWakesWhoeverReadsAndWrites(kind: ConnectionKind) throws {
    let kinds = try onGoroutine {
      let (client, server) = try kind.pair()
      _ = server
      let kinds = Channel<NetError.Kind?>(capacity: 3)
      go { kinds.send(errorKind { _ = try client.read(upTo: 1) }) }
      // The second waits behind the first.
      go { kinds.send(errorKind { _ = try client.read(upTo: 1) }) }
      go { kinds.send(errorKind { while true { try client.write([UInt8](repeating: 0, count: 1 << 20)) } }) }
      Goroutine.sleep(for: .milliseconds(20))
      client.close()
      let woken = (0..<3).map { _ in kinds.receive()! }
      return woken + [
        errorKind { _ = try client.read(upTo: 1) }, errorKind { try client.write([1] as [UInt8]) },
        errorKind { _ = try client.read(upTo: 0) },
      ]
    }
    #expect(kinds == [NetError.Kind?](repeating: .closed, count: 6))
  }

  @Test func closingAgainDoesNothing() throws {
    let kind = try onGoroutine {
      let (client, server) = try tcpPair()
      client.close()
      client.close()
      _ = server
      return errorKind { try client.closeWrite() }
    }
    #expect(kind == .closed)
  }

  @Test func aResetIsOne() throws {
    let (read, write) = try onGoroutine {
      let (client, server) = try tcpPair()
      client.setLinger(0)
      client.close()
      let read = netError { _ = try server.read(upTo: 1) }
      return (read, errorKind { for _ in 0..<10 { try server.write([1] as [UInt8]) } })
    }
    #expect(read?.kind == .reset)
    #expect(read?.errno == 104)
    #expect(write == .reset)
  }

  @Test func manyReadAndWriteOne() throws {
    let (blocks, broken) = try onGoroutine {
      let (client, server) = try tcpPair()
      let writers = WaitGroup()
      for worker in 0..<8 {
        writers.go {
          // Each write stays in one piece, whoever else writes.
          for _ in 0..<100 { try? client.write([UInt8](repeating: UInt8(worker), count: 1000)) }
        }
      }
      go {
        writers.wait()
        try? client.closeWrite()
      }
      var (blocks, broken) = (0, 0)
      while let block = try? server.readExactly(1000) {
        blocks += 1
        if block != [UInt8](repeating: block[0], count: 1000) { broken += 1 }
      }
      return (blocks, broken)
    }
    #expect(blocks == 800)
    #expect(broken == 0)
  }

  @Test func addressesAreKnown() throws {
    let texts = try onGoroutine {
      let (client, server) = try tcpPair()
      return [
        client.localAddress.description, client.remoteAddress.description, server.localAddress.description,
        server.remoteAddress.description, client.description,
      ]
    }
    #expect(texts[0] == texts[3])
    #expect(texts[1] == texts[2])
    #expect(texts[1] == texts[4])
    #expect(texts[0].hasPrefix("127.0.0.1:"))
  }

  @Test func noDelayIsOnAndCanBeChanged() throws {
    let states = try onGoroutine {
      let (client, server) = try tcpPair()
      let both = [client.noDelay, server.noDelay]
      client.noDelay = false
      let off = client.noDelay
      client.noDelay = true
      let on = client.noDelay
      client.close()
      return both + [off, on, client.noDelay]
    }
    #expect(states == [true, true, false, true, false])
  }

  /// Figures of the kernel's: SO_KEEPALIVE, TCP_KEEPIDLE and TCP_KEEPINTVL.
  @Test func keepAliveIsOn() throws {
    let figures = try onGoroutine {
      let (number, record, address) = try TCPListener.listen(at: Resolver.literal("127.0.0.1")!, reusePort: false)
      let listener = Descriptor(number, record)
      let client = try ConnectAttempt(to: address, until: nil)
      _ = client.wait()
      defer { client.close() }
      var peer = SocketAddress(path: "")
      let accepted = Int32(listener.accept(&peer))
      defer { _ = apus_close(accepted) }
      return [client.number, accepted].map { number in
        [APUS_OPTION_KEEP_ALIVE, APUS_OPTION_KEEP_IDLE, APUS_OPTION_KEEP_INTERVAL].map { apus_get_option(number, $0) }
      }
    }
    #expect(figures == [[1, 15, 15], [1, 15, 15]])
  }

  @Test func aConnectionIsClosedWithItsLastReference() throws {
    let count = try onGoroutine {
      let listener = try TCPListener(port: 0)
      var client: TCPConnection? = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
      let server = try listener.accept()
      _ = client?.noDelay
      client = nil
      return try server.read(upTo: 1).count
    }
    #expect(count == 0)
  }

  @Test(arguments: ConnectionKind.allCases)
  func gatheredPartsArriveInOrder(kind: ConnectionKind) throws {
    let (isRight, got) = try onGoroutine {
      let (client, server) = try kind.pair()
      // More parts than go into one call, empty ones among them, and more bytes than a socket takes at once.
      let parts = (0..<500).map { part in
        [UInt8](repeating: UInt8(truncatingIfNeeded: part), count: part * 37 % 20_000)
      }
      let whole = parts.flatMap { $0 }
      let received = Channel<Bool>()
      go { received.send((try? server.readExactly(whole.count)) == whole) }
      try client.write(gathering: parts)
      let isRight = received.receive()!
      try client.write(gathering: [])
      try server.write(Array(0..<10))
      var (first, second) = ([UInt8](repeating: 0, count: 3), [UInt8](repeating: 0, count: 20))
      let count = try first.withUnsafeMutableBytes { first in
        try second.withUnsafeMutableBytes { second in try client.read(scattering: [first, second]) }
      }
      return (isRight, first + second.prefix(count - 3))
    }
    #expect(isRight)
    #expect(got == Array(0..<10))
  }

  /// Small reads go through a buffer of the connection's; every byte comes once and in order, however it is asked for.
  @Test func readsOfAllSizes() throws {
    let isWhole = try onGoroutine {
      let (client, server) = try tcpPair()
      let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
      go {
        var (rest, size) = (bytes[...], 1)
        while !rest.isEmpty {
          try? client.write(rest.prefix(size))
          rest = rest.dropFirst(size)
          size = size * 5 % 997
        }
        client.close()
      }
      var got: [UInt8] = []
      var (first, second) = ([UInt8](repeating: 0, count: 9), [UInt8](repeating: 0, count: 300))
      for round in 0... {
        let before = got.count
        switch round % 5 {
        case 0: got += try server.read(upTo: 1)
        case 1: got += try server.read(upTo: 127)
        case 2: got += try server.read(upTo: 128)
        case 3: got += try server.read(upTo: 10_000)
        default:
          let count = try first.withUnsafeMutableBytes { first in
            try second.withUnsafeMutableBytes { second in try server.read(scattering: [first, second]) }
          }
          got += (first + second).prefix(count)
        }
        if got.count == before { break }
      }
      return got == bytes
    }
    #expect(isWhole)
  }

  /// What has been read ahead is the connection's: its deadline and its end come first.
  @Test func whatWasReadAheadFollowsTheConnection() throws {
    let (first, kinds, second) = try onGoroutine {
      let (client, server) = try tcpPair()
      try client.write([1, 2, 3] as [UInt8])
      let first = try server.readExactly(1)
      server.readDeadline = .now - .seconds(1)
      var kinds = [errorKind { _ = try server.read(upTo: 1) }]
      kinds.append(errorKind { _ = try server.read(upTo: 1000) })
      server.readDeadline = nil
      let second = try server.readExactly(1)
      server.close()
      kinds.append(errorKind { _ = try server.read(upTo: 1) })
      return (first, kinds, second)
    }
    #expect(first == [1])
    #expect(kinds == [.timedOut, .timedOut, .closed])
    #expect(second == [2])
  }

  @Test func spansAndSequences() throws {
    let (bytes, count) = try onGoroutine {
      let (client, server) = try tcpPair()
      try client.write((1...5).lazy.map { UInt8($0) })
      try client.write([6, 7, 8] as Set<UInt8>)
      try client.write([9 as UInt8].span.bytes)
      let bytes = try server.readExactly(9)
      try server.write([1, 2] as [UInt8])
      var buffer = [UInt8](repeating: 0, count: 8)
      var span = buffer.mutableSpan
      var raw = span.mutableBytes
      let count = try client.read(into: &raw)
      return (bytes, count)
    }
    #expect(bytes.prefix(5) == [1, 2, 3, 4, 5])
    #expect(Set(bytes[5..<8]) == [6, 7, 8])
    #expect(bytes.last == 9)
    #expect(count == 2)
  }

  @Test func aStreamThatEndsEarlyIsClosed() throws {
    let error = try onGoroutine {
      let (client, server) = try tcpPair()
      try client.write([1, 2] as [UInt8])
      client.close()
      return netError { _ = try server.readExactly(3) }
    }
    #expect(error?.kind == .closed)
    #expect(error.map { "\($0)" }?.hasSuffix(": unexpected end of stream") == true)
  }

  /// Threads that are not the runtime's use connections too, and block.
  @Test func foreignThreadsTalk() throws {
    let listener = try TCPListener(port: 0)
    go {
      guard let connection = try? listener.accept() else { return }
      while let bytes = try? connection.read(upTo: 100), !bytes.isEmpty { try? connection.write(bytes) }
    }
    let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
    for round in 0..<100 {
      try client.write([UInt8(round)])
      #expect(try client.readExactly(1) == [UInt8(round)])
    }
  }
}
