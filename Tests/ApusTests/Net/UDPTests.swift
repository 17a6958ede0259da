import Apus
import ApusNet
import Testing

/// Datagrams.
@Suite struct UDPTests {
  @Test(arguments: ["127.0.0.1", "::1"])
  func datagramsGoBothWays(host: String) throws {
    let (there, back, isRight) = try onGoroutine {
      let (first, second) = (try UDPSocket(host: host, port: 0), try UDPSocket(host: host, port: 0))
      try first.send("hello".utf8, to: second.address)
      let there = try second.receive(upTo: 100)
      try second.send([1, 2, 3] as [UInt8], to: there.from)
      let back = try first.receive(upTo: 100)
      return (there.bytes, back.bytes, there.from == first.address && back.from == second.address)
    }
    #expect(there == Array("hello".utf8))
    #expect(back == [1, 2, 3])
    #expect(isRight)
  }

  @Test func datagramsKeepTheirBounds() throws {
    let counts = try onGoroutine {
      let (first, second) = (try UDPSocket(host: "127.0.0.1", port: 0), try UDPSocket(host: "127.0.0.1", port: 0))
      for count in [0, 1, 5, 60_000, 3] { try first.send([UInt8](repeating: 7, count: count), to: second.address) }
      // What does not fit is lost; an empty datagram is received also into no room.
      return try [
        second.receive(upTo: 0), second.receive(upTo: 10), second.receive(upTo: 2), second.receive(upTo: 65_536),
        second.receive(upTo: 10),
      ].map(\.bytes.count)
    }
    #expect(counts == [0, 1, 2, 60_000, 3])
  }

  @Test func aSocketOfAllAddressesServesBothFamilies() throws {
    let hosts = try onGoroutine {
      let all = try UDPSocket(host: "", port: 0)
      var hosts: [String] = []
      for host in ["127.0.0.1", "::1"] {
        let client = try UDPSocket(host: host, port: 0)
        try client.send([1] as [UInt8], to: SocketAddress(host: host, port: all.address.port))
        let got = try all.receive(upTo: 1)
        hosts.append(got.from.host)
        try all.send([2] as [UInt8], to: got.from)
        _ = try client.receive(upTo: 1)
      }
      return hosts
    }
    #expect(hosts == ["127.0.0.1", "::1"])
  }

  @Test func closeWakesWhoeverReceives() throws {
    let kinds = try onGoroutine {
      let socket = try UDPSocket(host: "127.0.0.1", port: 0)
      let kinds = Channel<NetError.Kind?>(capacity: 1)
      go { kinds.send(errorKind { _ = try socket.receive(upTo: 1) }) }
      Goroutine.sleep(for: .milliseconds(10))
      socket.close()
      return [
        kinds.receive()!, errorKind { _ = try socket.receive(upTo: 1) },
        errorKind { try socket.send([1] as [UInt8], to: socket.address) },
      ]
    }
    #expect(kinds == [.closed, .closed, .closed])
  }

  @Test func badInput() throws {
    let (tooLong, v6, path, taken) = try onGoroutine {
      let socket = try UDPSocket(host: "127.0.0.1", port: 0)
      return (
        netError { try socket.send([UInt8](repeating: 0, count: 70_000), to: socket.address) },
        netError { try socket.send([1] as [UInt8], to: SocketAddress(host: "::1", port: 1)) },
        netError { try socket.send([1] as [UInt8], to: SocketAddress(path: "/x")) },
        netError { _ = try UDPSocket(host: "127.0.0.1", port: socket.address.port) }
      )
    }
    #expect(tooLong.map { "\($0)" }?.hasSuffix(": message too long") == true)
    #expect(v6.map { "\($0)" } == "write [::1]:1: an IPv6 address for a socket of IPv4")
    #expect(path.map { "\($0)" } == "write /x: not an address of UDP")
    #expect(taken?.errno == 98)
  }
}
