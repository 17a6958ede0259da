// A TCP service: names are counted, by anybody who connects. A line `add NAME` answers with the new count of the name,
// `get NAME` with the count. SIGTERM or SIGINT ends it in good order. The documentation of ApusNet builds it up step by
// step.
//
//     tally         with clients and a signal of its own
//     tally PORT    on PORT of this machine
import Apus
import ApusNet
import Glibc

/// What all connections share.
final class Tally: Sendable {
  private let counts = Mutex<[String: Int]>([:])

  /// The answer to one line.
  func answer(_ line: String) -> String {
    let words = line.split(separator: " ", maxSplits: 1)
    guard words.count == 2 else { return "error: add NAME or get NAME" }
    let name = String(words[1])
    switch words[0] {
    case "add":
      let count = counts.withLock { counts in
        counts[name, default: 0] += 1
        return counts[name]!
      }
      return "\(count)"
    case "get": return "\(counts.withLock { $0[name] ?? 0 })"
    default: return "error: add NAME or get NAME"
    }
  }
}

/// The lines of a stream, without their ends.
struct Lines<Stream: ByteStream> {
  static var limit: Int { 1000 }

  let stream: Stream
  private var buffer: [UInt8] = []

  init(of stream: Stream) { self.stream = stream }

  /// The next line; nil at the end of the stream, and for a line that is too long.
  mutating func next() throws -> String? {
    while true {
      if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        defer { buffer.removeSubrange(...end) }
        return String(decoding: buffer[..<end], as: UTF8.self)
      }
      if buffer.count > Self.limit { return nil }
      let bytes = try stream.read(upTo: 4096)
      if bytes.isEmpty { return nil }
      buffer += bytes
    }
  }
}

/// Answers the lines of one connection until it ends, is silent for half a minute, or the service is to end.
func serve(_ connection: TCPConnection, _ tally: Tally, _ context: Context) {
  defer { connection.close() }
  // A read that waits for the next line ends at once; the line that is at work is still answered.
  let forget = context.onCancel { connection.readDeadline = .now }
  defer { _ = forget() }
  var lines = Lines(of: connection)
  do {
    while true {
      connection.setDeadline(.now + .seconds(30))
      if context.failure != nil { return }
      guard let line = try lines.next() else { return }
      try connection.write("\(tally.answer(line))\n".utf8)
    }
  } catch let error as NetError where error.kind == .timedOut {
    // Silent for too long, or told to end.
  } catch {
    complain("\(error)")
  }
}

/// Accepts until the context is cancelled, a thousand connections at once at the most, and returns when all are done.
func run(_ listener: TCPListener, _ tally: Tally, _ context: Context) throws {
  let forget = context.onCancel { listener.close() }
  defer { _ = forget() }
  let room = Semaphore(1000)
  let connections = WaitGroup()
  defer { connections.wait() }
  while true {
    do {
      room.acquire()
      let connection = try listener.accept()
      connections.go {
        serve(connection, tally, context)
        room.release()
      }
    } catch let error as NetError where error.kind == .closed {
      return
    }
  }
}

/// A context that the first of `signals` cancels. The second does again what it did without us.
func cancelled(by signals: [Int32]) -> Context {
  let (context, cancel) = Context.background.cancellable()
  let channel = Signals.notify(signals)
  go {
    _ = channel.receive()
    Signals.stop(channel)
    cancel(nil)
  }
  return context
}

func complain(_ message: String) {
  let line = Array("tally: \(message)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
}

/// Ten clients that each count one name a hundred times.
func countTogether(port: Int) throws {
  let clients = WaitGroup()
  let failures = Mutex<[any Error]>([])
  for _ in 0..<10 {
    clients.go {
      do {
        let connection = try TCPConnection(host: "127.0.0.1", port: port, timeout: .seconds(10))
        defer { connection.close() }
        connection.setDeadline(.now + .seconds(30))
        var answers = Lines(of: connection)
        for _ in 0..<100 {
          try connection.write("add swift\n".utf8)
          _ = try answers.next()
        }
      } catch {
        failures.withLock { $0.append(error) }
      }
    }
  }
  clients.wait()
  if let first = failures.withLock({ $0.first }) { throw first }
}

/// What the service answers to one line.
func ask(_ line: String, port: Int) throws -> String? {
  let connection = try TCPConnection(host: "127.0.0.1", port: port, timeout: .seconds(10))
  defer { connection.close() }
  connection.setDeadline(.now + .seconds(30))
  try connection.write("\(line)\n".utf8)
  var answers = Lines(of: connection)
  return try answers.next()
}

let context = cancelled(by: [SIGTERM, SIGINT])
if CommandLine.arguments.count == 2, let port = Int(CommandLine.arguments[1]) {
  let listener = try TCPListener(port: port)
  print("listening on \(listener)")
  fflush(nil)
  try run(listener, Tally(), context)
} else if CommandLine.arguments.count == 1 {
  let listener = try TCPListener(port: 0)
  let port = listener.address.port
  go {
    do {
      try countTogether(port: port)
      print("swift: \(try ask("get swift", port: port) ?? "no answer")")
    } catch {
      print("failed: \(error)")
    }
    kill(getpid(), SIGTERM)
  }
  try run(listener, Tally(), context)
  print("every connection is done")
} else {
  print("usage: tally [PORT]")
  exit(2)
}
