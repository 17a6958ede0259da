import Apus
import ApusNet
import Glibc
import Testing

/// Pipes, files, terminals and whatever else is a descriptor.
@Suite struct DescriptorStreamTests {
  /// As much memory as there may be to read, and not as much as is allowed.
  @Test func aReadMayAllowMoreThanThereIsMemory() throws {
    let counts = try onGoroutine {
      let (reader, writer) = try DescriptorStream.pipe()
      try writer.write([1, 2, 3])
      let first = try reader.read(upTo: .max).count
      try writer.write([4])
      return [first, try reader.read(upTo: 1 << 40).count]
    }
    #expect(counts == [3, 1])
  }

  @Test func aPipe() throws {
    let (bytes, end) = try onGoroutine {
      let (reader, writer) = try DescriptorStream.pipe()
      try writer.write("through".utf8)
      let bytes = try reader.readExactly(7)
      writer.close()
      return (bytes, try reader.read(upTo: 1).count)
    }
    #expect(bytes == Array("through".utf8))
    #expect(end == 0)
  }

  @Test func muchGoesThroughAPipe() throws {
    let isWhole = try onGoroutine {
      let (reader, writer) = try DescriptorStream.pipe()
      let bytes = [UInt8](repeating: 42, count: 1 << 21)
      let received = Channel<Bool>()
      go { received.send((try? reader.readExactly(bytes.count)) == bytes) }
      try writer.write(gathering: [bytes, []])
      return received.receive()!
    }
    #expect(isWhole)
  }

  /// No signal ends the process.
  @Test func aPipeThatNobodyReads() throws {
    let errors = try onGoroutine {
      let (reader, writer) = try DescriptorStream.pipe()
      reader.close()
      return [
        netError { try writer.write([1] as [UInt8]) }, netError { try writer.write(gathering: [[1], [2]]) },
      ]
    }
    for error in errors {
      #expect(error?.kind == .reset)
      #expect(error.map { "\($0)" } == "write pipe: broken pipe")
    }
  }

  @Test func closeWakesBothSides() throws {
    let kinds = try onGoroutine {
      let (reader, writer) = try DescriptorStream.pipe()
      let kinds = Channel<NetError.Kind?>(capacity: 2)
      go { kinds.send(errorKind { _ = try reader.read(upTo: 1) }) }
      Goroutine.sleep(for: .milliseconds(5))
      reader.close()
      let (second, full) = try DescriptorStream.pipe()
      go { kinds.send(errorKind { try full.write([UInt8](repeating: 0, count: 1 << 20)) }) }
      Goroutine.sleep(for: .milliseconds(5))
      full.close()
      _ = second
      _ = writer
      return [kinds.receive()!, kinds.receive()!]
    }
    #expect(kinds == [.closed, .closed])
  }

  /// Reading, writing and closing one pipe at the same time.
  @Test func closesRaceWithReadsAndWrites() throws {
    let wrong = try onGoroutine {
      let wrong = Sum()
      for round in 0..<200 {
        let (reader, writer) = try DescriptorStream.pipe()
        let group = WaitGroup()
        for _ in 0..<2 {
          group.go { while let bytes = try? reader.read(upTo: 100), !bytes.isEmpty {} }
          group.go {
            let kind = errorKind { while true { try writer.write([UInt8](repeating: 0, count: 5000)) } }
            if kind != .closed && kind != .reset { wrong.add() }
          }
        }
        group.go {
          for _ in 0..<(round % 10) { Goroutine.yield() }
          if round % 2 == 0 { reader.close() } else { writer.close() }
          writer.close()
        }
        group.wait()
      }
      return wrong.value
    }
    #expect(wrong == 0)
  }

  @Test func deadlinesOfAPipe() throws {
    let (kinds, took) = try onGoroutine {
      let (reader, writer) = try DescriptorStream.pipe()
      var kinds: [NetError.Kind?] = []
      let took = duration {
        reader.readDeadline = .now + .milliseconds(20)
        kinds.append(errorKind { _ = try reader.read(upTo: 1) })
      }
      writer.writeDeadline = .now + .milliseconds(10)
      kinds.append(errorKind { try writer.write([UInt8](repeating: 0, count: 1 << 20)) })
      return (kinds, took)
    }
    #expect(kinds == [.timedOut, .timedOut])
    #expect(took >= .milliseconds(19))
  }

  /// A file is read and written, and its deadlines have no effect.
  @Test func aRegularFile() throws {
    let (bytes, scattered, deadline, kind) = try onGoroutine {
      let path = temporaryPath()
      defer { unlink(path) }
      let file = try DescriptorStream(descriptor: open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600))
      try file.write("some ".utf8)
      try file.write(gathering: [Array("text".utf8), Array(" more".utf8)])
      let copy = try DescriptorStream(descriptor: open(path, O_RDONLY | O_CLOEXEC))
      copy.readDeadline = .now - .seconds(1)
      let bytes = try copy.readExactly(9)
      let end = try copy.read(upTo: 100)
      let deadline = copy.readDeadline
      copy.close()
      return (bytes, end, deadline, errorKind { _ = try copy.read(upTo: 1) })
    }
    #expect(bytes == Array("some text".utf8))
    #expect(scattered == Array(" more".utf8))
    #expect(deadline == nil)
    #expect(kind == .closed)
  }

  @Test func aDirectoryIsNoStream() throws {
    let error = try onGoroutine {
      let stream = try DescriptorStream(descriptor: open("/tmp", O_RDONLY | O_CLOEXEC))
      return netError { _ = try stream.read(upTo: 1) }
    }
    #expect(error?.errno == EISDIR)
    #expect(error.map { "\($0)" }?.hasSuffix(": is a directory") == true)
  }

  /// What was blocking is blocking again afterwards: others may have the same open file.
  @Test(arguments: [true, false])
  func theOpenFileIsLeftAsItWas(wasBlocking: Bool) throws {
    let flags = try onGoroutine {
      var ends: [Int32] = [-1, -1]
      precondition(pipe(&ends) == 0)
      if !wasBlocking { _ = fcntl(ends[0], F_SETFL, O_NONBLOCK) }
      func isBlocking() -> Bool { fcntl(ends[0], F_GETFL) & O_NONBLOCK == 0 }
      var flags = [isBlocking()]
      var stream: DescriptorStream? = try DescriptorStream(descriptor: ends[0], closeOnRelease: false)
      flags.append(isBlocking())
      stream?.close()
      flags.append(isBlocking())
      stream = try DescriptorStream(descriptor: ends[0], closeOnRelease: false)
      stream = nil
      flags.append(isBlocking())
      for end in ends { close(end) }
      return flags
    }
    #expect(flags == [wasBlocking, false, wasBlocking, wasBlocking])
  }

  @Test func whoeverOwnsTheDescriptorClosesIt() throws {
    let kinds = try onGoroutine {
      var ends: [Int32] = [-1, -1]
      precondition(pipe(&ends) == 0)
      let writer = try DescriptorStream(descriptor: ends[1])
      try DescriptorStream(descriptor: ends[0], closeOnRelease: false).close()
      var kinds = [errorKind { try writer.write([1] as [UInt8]) }]
      try DescriptorStream(descriptor: ends[0]).close()
      // There is no reading end any more.
      kinds.append(errorKind { try writer.write([1] as [UInt8]) })
      return kinds
    }
    #expect(kinds == [nil, .reset])
  }

  @Test func aDescriptorThatIsNotOpen() {
    let errors = onGoroutine {
      [1 << 20, -1].map { (number: Int32) in netError { _ = try DescriptorStream(descriptor: number) } }
    }
    #expect(errors[0].map { "\($0)" } == "open descriptor 1048576: bad file descriptor")
    #expect(errors[1]?.kind == .system)
  }

  @Test func aTerminal() throws {
    let (line, rest) = try onGoroutine {
      let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
      var (locked, number): (Int32, Int32) = (0, 0)
      // TIOCSPTLCK and TIOCGPTN.
      precondition(ioctl(master, 0x4004_5431, &locked) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
      let terminal = try DescriptorStream(descriptor: open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC))
      let keyboard = try DescriptorStream(descriptor: master)
      terminal.readDeadline = .now + .seconds(20)
      // Two lines at once: a read gets one of them.
      go { try? keyboard.write("one\ntwo\n".utf8) }
      return (try terminal.read(upTo: 100), try terminal.read(upTo: 100))
    }
    #expect(line == Array("one\n".utf8))
    #expect(rest == Array("two\n".utf8))
  }
}
