import Apus
import ApusNet
import Glibc
import Testing

/// Unix sockets: what they have of their own.
@Suite struct UnixTests {
  @Test(arguments: [false, true])
  func bytesGoBothWays(isAbstract: Bool) throws {
    let (there, back, names) = try onGoroutine {
      let path = isAbstract ? "@" + temporaryPath() : temporaryPath()
      let listener = try UnixListener(path: path)
      let client = try UnixConnection(path: path)
      let server = try listener.accept()
      try client.write("hello".utf8)
      let there = try server.readExactly(5)
      try server.write([1, 2, 3] as [UInt8])
      let names = [client.description, server.description, listener.description].map { $0 == path }
      return (there, try client.readExactly(3), names)
    }
    #expect(there == Array("hello".utf8))
    #expect(back == [1, 2, 3])
    #expect(names == [true, true, true])
  }

  @Test func theFileGoesWithTheListener() throws {
    let states = try onGoroutine {
      let path = temporaryPath()
      func exists() -> Bool { access(path, F_OK) == 0 }
      var listener: UnixListener? = try UnixListener(path: path)
      var states = [exists()]
      listener?.close()
      states.append(exists())
      listener = try UnixListener(path: path)
      states.append(exists())
      listener = nil
      states.append(exists())
      return states
    }
    #expect(states == [true, false, true, false])
  }

  /// Closing a listener a second time does not remove the file of the one that took its place.
  @Test func aSecondCloseLeavesOthersAlone() throws {
    let exists = try onGoroutine {
      let path = temporaryPath()
      let first = try UnixListener(path: path)
      first.close()
      let second = try UnixListener(path: path)
      first.close()
      return access(second.address.host, F_OK) == 0
    }
    #expect(exists)
  }

  @Test func closeWakesTheAcceptor() throws {
    let kind = try onGoroutine {
      let listener = try UnixListener(path: temporaryPath())
      let kinds = Channel<NetError.Kind?>(capacity: 1)
      go { kinds.send(errorKind { _ = try listener.accept() }) }
      Goroutine.sleep(for: .milliseconds(10))
      listener.close()
      return kinds.receive()!
    }
    #expect(kind == .closed)
  }

  @Test func acceptTimesOut() throws {
    let kind = try onGoroutine {
      let listener = try UnixListener(path: temporaryPath())
      listener.deadline = .now + .milliseconds(10)
      return errorKind { _ = try listener.accept() }
    }
    #expect(kind == .timedOut)
  }

  @Test func halfClose() throws {
    let (count, reply) = try onGoroutine {
      let listener = try UnixListener(path: temporaryPath())
      let client = try UnixConnection(path: listener.address.host)
      let server = try listener.accept()
      try client.closeWrite()
      let count = try server.read(upTo: 1).count
      try server.write([1] as [UInt8])
      let reply = try client.readExactly(1)
      try client.closeRead()
      return (count + (try client.read(upTo: 1).count), reply)
    }
    #expect(count == 0)
    #expect(reply == [1])
  }

  @Test func badPaths() throws {
    let (long, missing, refused, taken, others) = onGoroutine {
      let path = temporaryPath()
      let long = String(repeating: "x", count: 108)
      let descriptor = open(path, O_CREAT | O_RDWR, 0o600)
      close(descriptor)
      defer { unlink(path) }
      return (
        [netError { _ = try UnixListener(path: long) }, netError { _ = try UnixConnection(path: long) }],
        netError { _ = try UnixConnection(path: "/tmp/no/such/socket") },
        errorKind { _ = try UnixConnection(path: path) },
        netError { _ = try UnixListener(path: path) }?.errno,
        [errorKind { _ = try UnixConnection(path: "") }, errorKind { _ = try UnixListener(path: "a\0b") }]
      )
    }
    for error in long {
      #expect(error?.errno == 36)
      #expect(error.map { "\($0)" }?.hasSuffix(": path of 108 bytes is too long (at most 107)") == true)
    }
    #expect(missing.map { "\($0)" } == "dial /tmp/no/such/socket: no such file or directory")
    #expect(missing?.kind == .system)
    #expect(refused == .refused)
    #expect(taken == 98)
    #expect(others == [.system, .system])
  }

  /// A read ends where descriptors were sent along, though there is more to read.
  @Test func aShortReadIsNotTheEndOfWhatThereIs() throws {
    let bytes = try onGoroutine {
      var ends: [Int32] = [-1, -1]
      socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
      let stream = try DescriptorStream(descriptor: ends[0])
      defer { close(ends[1]) }
      sendDescriptor(0, over: ends[1], with: [1])
      write(ends[1], [2, 3] as [UInt8], 2)
      stream.readDeadline = .now + .seconds(20)
      var bytes: [UInt8] = []
      while bytes.count < 3 { bytes += try stream.read(upTo: 100) }
      return bytes
    }
    #expect(bytes == [1, 2, 3])
  }

  /// Sends `bytes` with a descriptor.
  private func sendDescriptor(_ descriptor: Int32, over socket: Int32, with bytes: [UInt8]) {
    var bytes = bytes
    var descriptor = descriptor
    var control = [UInt8](repeating: 0, count: 24)
    control.withUnsafeMutableBytes { control in
      var header = cmsghdr()
      header.cmsg_len = 20
      header.cmsg_level = SOL_SOCKET
      header.cmsg_type = Int32(SCM_RIGHTS)
      withUnsafeBytes(of: &header) { control.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(16))) }
      withUnsafeBytes(of: &descriptor) { (control.baseAddress! + 16).copyMemory(from: $0.baseAddress!, byteCount: 4) }
      bytes.withUnsafeMutableBytes { bytes in
        var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        withUnsafeMutablePointer(to: &vector) { vector in
          var message = msghdr()
          message.msg_iov = vector
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          precondition(sendmsg(socket, &message, 0) == bytes.count)
        }
      }
    }
  }
}
