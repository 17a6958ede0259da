import Apus
import ApusNet
import Glibc

/// Connections over TCP, Unix sockets and pipes whose ends write, half-close, time out, are closed by others and break
/// off at random moments, while the number of processors changes. Every byte says where in its stream it belongs: what
/// arrives is checked as it comes, a stream that ends in good order has to be whole, and one that is broken off has to be
/// a beginning of what was sent. Nobody may wait for ever.
func network(_ run: StressRun) {
  let before = Runtime.maxProcs
  let isOver = Flag()
  let changer = WaitGroup()
  changer.go {
    var random = run.random(1_000_000)
    while !isOver.isSet {
      Runtime.maxProcs = random.pick(1...8)
      Goroutine.sleep(for: .milliseconds(random.pick(1...20)))
    }
  }
  do {
    try withServers(run) { tcpPort, unixPath in
      run.withWorkers(32) { worker, random in
        while !run.isOver {
          let seed = UInt64(truncatingIfNeeded: random.next())
          do {
            switch random.pick(0...3) {
            case 0: pipe(run, seed, &random)
            case 1: client(run, try UnixConnection(path: unixPath), seed, &random)
            default: client(run, try TCPConnection(host: "127.0.0.1", port: tcpPort), seed, &random)
            }
          } catch let error as NetError where error.errno == EAGAIN {
            // More connections wait at the Unix listener than it allows.
            Goroutine.sleep(for: .milliseconds(1))
          } catch {
            run.check(false, "no connection: \(error)")
          }
          run.count()
        }
      }
    }
  } catch {
    run.check(false, "no servers: \(error)")
  }
  isOver.set()
  changer.wait()
  Runtime.maxProcs = before
}

/// Something that has happened or not.
private final class Flag: Sendable {
  private let state = Mutex(false)
  var isSet: Bool { state.withLock { $0 } }
  func set() { state.withLock { $0 = true } }
}

/// How a conversation ends.
private enum Ending: UInt8, CaseIterable {
  /// The client sends everything, half-closes, and is told what came.
  case orderly
  /// The same, with deadlines that pass all the time on both sides; a read that timed out is tried again.
  case deadlines
  /// The client breaks the connection off in the middle.
  case reset
  /// Another goroutine closes the client's end in the middle.
  case closedByAnother
  /// Both send and receive at the same time, to the end.
  case bothWays
}

/// The byte at `position` of the stream of `seed`.
private func byte(_ seed: UInt64, _ position: Int) -> UInt8 {
  let mixed = (seed ^ UInt64(truncatingIfNeeded: position >> 3)) &* 0x9e37_79b9_7f4a_7c15
  return UInt8(truncatingIfNeeded: mixed >> (UInt64(position & 7) * 8)) &+ UInt8(truncatingIfNeeded: position)
}

/// What the client announces: seed, length, ending.
private struct Header {
  static let size = 17
  var seed: UInt64
  var length: Int
  var ending: Ending

  var bytes: [UInt8] {
    withUnsafeBytes(of: seed.littleEndian, Array.init) + withUnsafeBytes(of: UInt64(length).littleEndian, Array.init)
      + [ending.rawValue]
  }

  init(_ seed: UInt64, _ length: Int, _ ending: Ending) {
    (self.seed, self.length, self.ending) = (seed, length, ending)
  }

  init?(_ bytes: [UInt8]) {
    func word(_ at: Int) -> UInt64 { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt64.self) } }
    guard bytes.count == Self.size, let ending = Ending(rawValue: bytes[16]) else { return nil }
    self.init(UInt64(littleEndian: word(0)), Int(UInt64(littleEndian: word(8))), ending)
  }
}

/// Runs `body` beside a TCP and a Unix server, and returns when all their connections are done.
private func withServers(_ run: StressRun, _ body: (_ port: Int, _ path: String) -> Void) throws {
  let tcp = try TCPListener(port: 0)
  let path = "/tmp/apus-stress-\(getpid()).sock"
  let unix = try UnixListener(path: path)
  let servers = WaitGroup()
  for number in 0..<2 {
    // Two each: they take turns.
    servers.go {
      var random = run.random(2_000_000 + number)
      while let connection = try? tcp.accept() {
        var own = Random(seed: run.seed, stream: random.next())
        servers.go { server(run, connection, &own) }
      }
    }
    servers.go {
      var random = run.random(3_000_000 + number)
      while let connection = try? unix.accept() {
        var own = Random(seed: run.seed, stream: random.next())
        servers.go { server(run, connection, &own) }
      }
    }
  }
  body(tcp.address.port, path)
  tcp.close()
  unix.close()
  servers.wait()
}

/// A stream that is read and checked.
private struct Receiving {
  let seed: UInt64
  var position = 0
  var isRight = true

  init(_ seed: UInt64) {
    self.seed = seed
  }

  mutating func take(_ bytes: some Sequence<UInt8>) {
    for value in bytes {
      if value != byte(seed, position) { isRight = false }
      position += 1
    }
  }

  /// Reads until `length` bytes have come or the stream ends or fails; the failure. With `impatient` each read has a
  /// deadline that may pass before anything comes.
  mutating func read(
    _ stream: any ByteStream, upTo length: Int, impatient: Bool, _ random: inout Random
  ) -> NetError? {
    var idle = 0
    while position < length {
      do {
        if impatient { stream.readDeadline = .now + .microseconds(random.pick(-50...300)) }
        let bytes = try stream.read(upTo: random.pick(1...random.pick(1...10_000)))
        if bytes.isEmpty { break }
        take(bytes)
        idle = 0
      } catch let error as NetError where impatient && error.kind == .timedOut && idle < 200_000 {
        idle += 1
        if random.oneIn(4) { Goroutine.yield() }
      } catch {
        return error as? NetError
      }
    }
    if impatient { stream.readDeadline = .now + limit }
    return nil
  }
}

/// How long a conversation may take, on a machine that does other things too.
private let limit = Duration.seconds(40)

/// Writes the bytes from `start` to `end` in pieces; the failure.
private func send(
  _ stream: any ByteStream, _ seed: UInt64, _ start: Int, _ end: Int, _ random: inout Random
) -> NetError? {
  var position = start
  while position < end {
    let next = min(end, position + random.pick(1...random.pick(1...20_000)))
    do {
      if random.oneIn(3) {
        let middle = random.pick(position...next)
        try stream.write(gathering: [
          (position..<middle).map { byte(seed, $0) }, [], (middle..<next).map { byte(seed, $0) },
        ])
      } else {
        try stream.write((position..<next).map { byte(seed, $0) })
      }
    } catch {
      return error as? NetError
    }
    position = next
  }
  return nil
}

private func closeWrite(_ stream: any ByteStream) {
  try? (stream as? TCPConnection)?.closeWrite()
  try? (stream as? UnixConnection)?.closeWrite()
}

/// What a broken connection may say.
private func isBroken(_ error: NetError?) -> Bool {
  guard let error else { return false }
  return error.kind == .reset || error.kind == .closed || error.errno == ENOTCONN
}

private func client(_ run: StressRun, _ stream: any ByteStream, _ seed: UInt64, _ random: inout Random) {
  let ending = Ending.allCases.randomElement(using: &random)!
  let header = Header(seed, random.pick(0...random.pick(0...200_000)), ending)
  let name = "\(ending) of \(header.length) over \(type(of: stream))"
  stream.setDeadline(.now + limit)
  if (try? stream.write(header.bytes)) == nil {
    run.check(false, "\(name): the header was not taken")
    return
  }
  switch ending {
  case .orderly, .deadlines:
    let failure = send(stream, seed, 0, header.length, &random)
    closeWrite(stream)
    // The server's answer: how much has come, as a stream of its own.
    var answer = Receiving(~seed)
    let failed = answer.read(stream, upTo: 64, impatient: ending == .deadlines, &random)
    run.check(
      failure == nil && failed == nil && answer.isRight && answer.position == 64,
      "\(name): sent \(failure.map { "\($0)" } ?? "all"), \(answer.position) of the answer, "
        + (failed.map { "\($0)" } ?? ""))
    stream.close()
  case .reset:
    let cut = random.pick(0...header.length)
    let failure = send(stream, seed, 0, cut, &random)
    run.check(failure == nil, "\(name): \(failure.map { "\($0)" } ?? "")")
    (stream as? TCPConnection)?.setLinger(0)
    if random.oneIn(2) { stream.close() }
  case .closedByAnother:
    let closer = WaitGroup()
    let pause = random.pick(0...300)
    closer.go {
      Goroutine.sleep(for: .microseconds(pause))
      stream.close()
    }
    var reading = Receiving(~seed)
    let reader = WaitGroup()
    var own = Random(seed: run.seed, stream: random.next())
    let outcome = Channel<NetError?>(capacity: 1)
    reader.go { outcome.send(reading.read(stream, upTo: .max, impatient: false, &own)) }
    let failure = send(stream, seed, 0, header.length, &random)
    closer.wait()
    reader.wait()
    let read = outcome.receive()!
    run.check(
      (failure == nil || isBroken(failure)) && isBroken(read),
      "\(name): wrote \(failure.map { "\($0)" } ?? "all"), read \(read.map { "\($0)" } ?? "to the end")")
  case .bothWays:
    let writer = WaitGroup()
    var own = Random(seed: run.seed, stream: random.next())
    let outcome = Channel<NetError?>(capacity: 1)
    writer.go {
      outcome.send(send(stream, seed, 0, header.length, &own))
      closeWrite(stream)
    }
    var answer = Receiving(~seed)
    let failed = answer.read(stream, upTo: .max, impatient: false, &random)
    writer.wait()
    let failure = outcome.receive()!
    run.check(
      failure == nil && failed == nil && answer.isRight && answer.position == header.length,
      "\(name): \(answer.position) came back, \(failure.map { "\($0)" } ?? ""), \(failed.map { "\($0)" } ?? "")")
    stream.close()
  }
}

private func server(_ run: StressRun, _ stream: any ByteStream, _ random: inout Random) {
  stream.setDeadline(.now + limit)
  // A client that breaks off may do so before its header has come.
  guard let bytes = try? stream.readExactly(Header.size), let header = Header(bytes) else { return stream.close() }
  let name = "the server's end of \(header.ending) of \(header.length) over \(type(of: stream))"
  var received = Receiving(header.seed)
  switch header.ending {
  case .orderly, .deadlines:
    let failed = received.read(stream, upTo: .max, impatient: header.ending == .deadlines, &random)
    run.check(
      failed == nil && received.isRight && received.position == header.length,
      "\(name): \(received.position) came, \(failed.map { "\($0)" } ?? "to the end")")
    let failure = send(stream, ~header.seed, 0, 64, &random)
    run.check(failure == nil, "\(name): the answer was not taken: \(failure.map { "\($0)" } ?? "")")
  case .reset, .closedByAnother:
    let failed = received.read(stream, upTo: .max, impatient: false, &random)
    run.check(
      received.isRight && received.position <= header.length && (failed == nil || isBroken(failed)),
      "\(name): \(received.position) came, \(failed.map { "\($0)" } ?? "to the end")")
  case .bothWays:
    let writer = WaitGroup()
    var own = Random(seed: run.seed, stream: random.next())
    let outcome = Channel<NetError?>(capacity: 1)
    writer.go {
      outcome.send(send(stream, ~header.seed, 0, header.length, &own))
      closeWrite(stream)
    }
    let failed = received.read(stream, upTo: .max, impatient: false, &random)
    writer.wait()
    let failure = outcome.receive()!
    run.check(
      failure == nil && failed == nil && received.isRight && received.position == header.length,
      "\(name): \(received.position) came, \(failure.map { "\($0)" } ?? ""), \(failed.map { "\($0)" } ?? "")")
  }
  stream.close()
}

/// A pipe between two goroutines, to its end or closed by either side in the middle.
private func pipe(_ run: StressRun, _ seed: UInt64, _ random: inout Random) {
  guard let (reader, writer) = try? DescriptorStream.pipe() else { return run.check(false, "no pipe") }
  reader.readDeadline = .now + limit
  writer.writeDeadline = .now + limit
  let length = random.pick(0...random.pick(0...300_000))
  let (readerGivesUp, writerGivesUp) = (random.oneIn(4), random.oneIn(4))
  let end = writerGivesUp ? random.pick(0...length) : length
  let group = WaitGroup()
  var own = Random(seed: run.seed, stream: random.next())
  let outcome = Channel<NetError?>(capacity: 1)
  group.go {
    outcome.send(send(writer, seed, 0, end, &own))
    writer.close()
  }
  var received = Receiving(seed)
  let wanted = readerGivesUp ? random.pick(0...length) : .max
  let failed = received.read(reader, upTo: wanted, impatient: random.oneIn(2), &random)
  reader.close()
  group.wait()
  let failure = outcome.receive()!
  let isWhole = received.position == end || received.position >= wanted
  run.check(
    received.isRight && isWhole && failed == nil && (failure == nil || (readerGivesUp && isBroken(failure))),
    "pipe of \(end): \(received.position) came, \(failure.map { "\($0)" } ?? ""), \(failed.map { "\($0)" } ?? "")")
}
