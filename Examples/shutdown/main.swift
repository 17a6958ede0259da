// A server that ends in good order. SIGTERM or SIGINT cancels its context: it accepts no more, connections that wait for
// a request are closed, requests that are being worked on are answered, and then it ends. After ten seconds connections
// are cut off, and a second signal ends it at once.
//
//     shutdown         with clients and a signal of its own
//     shutdown PORT    on PORT of this machine
import Apus
import ApusNet
import Glibc

/// Answers each request with the same bytes, after some work.
struct Server {
  let listener: TCPListener
  let context: Context
  private let connections = WaitGroup()
  private let open = Mutex<[ObjectIdentifier: TCPConnection]>([:])
  private let counts = Mutex((requests: 0, answers: 0))

  init(_ listener: TCPListener, _ context: Context) {
    self.listener = listener
    self.context = context
  }

  /// Accepts until the context is cancelled, and returns when every connection is done, or `grace` after the
  /// cancellation. How many requests were read, and how many of them answered.
  func run(grace: Duration) throws -> (requests: Int, answers: Int) {
    // Whoever waits in `accept` is woken by the close.
    let forget = context.onCancel { [listener] in listener.close() }
    defer { _ = forget() }
    while true {
      do {
        let connection = try listener.accept()
        connections.go { [self] in handle(connection) }
      } catch let error as NetError where error.kind == .closed && context.failure != nil {
        break
      }
    }
    let cutOff = Goroutine.after(grace) { [open] in
      for connection in open.withLock({ Array($0.values) }) { connection.close() }
    }
    connections.wait()
    cutOff.stop()
    return counts.withLock { $0 }
  }

  private func handle(_ connection: TCPConnection) {
    open.withLock { $0[ObjectIdentifier(connection)] = connection }
    defer {
      open.withLock { $0[ObjectIdentifier(connection)] = nil }
      connection.close()
    }
    // Cancelled: a read that waits for the next request ends. One whose request has come is not in a read.
    let forget = context.onCancel { connection.readDeadline = .now }
    defer { _ = forget() }
    while let request = try? connection.read(upTo: 1000), !request.isEmpty {
      counts.withLock { $0.requests += 1 }
      Goroutine.sleep(for: .milliseconds(50))
      if (try? connection.write(request)) == nil { return }
      counts.withLock { $0.answers += 1 }
    }
  }
}

/// A context that the first of `signals` cancels. The second does again what it did without us.
func cancelled(by signals: [Int32]) -> Context {
  let (context, cancel) = Context.background.cancellable()
  let channel = Signals.notify(signals)
  go {
    let signal = channel.receive() ?? 0
    Signals.stop(channel)
    print("signal \(signal): draining")
    fflush(nil)
    cancel(nil)
  }
  return context
}

/// Twenty clients that ask until they are turned away; how many answers they got.
func startClients(port: Int) -> (WaitGroup, Mutex<Int>) {
  let clients = WaitGroup()
  let answers = Mutex(0)
  for _ in 0..<20 {
    clients.go {
      guard let connection = try? TCPConnection(host: "127.0.0.1", port: port, timeout: .seconds(5)) else { return }
      while (try? connection.write("work".utf8)) != nil, (try? connection.readExactly(4)) != nil {
        answers.withLock { $0 += 1 }
      }
    }
  }
  return (clients, answers)
}

let port = CommandLine.arguments.dropFirst().first.map { Int($0) ?? -1 }
let context = cancelled(by: [SIGTERM, SIGINT])
let listener = try TCPListener(port: port ?? 0)
let server = Server(listener, context)
if port != nil {
  print("listening on \(listener)")
  fflush(nil)
  let (requests, answers) = try server.run(grace: .seconds(10))
  print("\(answers) of \(requests) requests answered")
} else {
  let (clients, received) = startClients(port: listener.address.port)
  Goroutine.after(.milliseconds(180)) { kill(getpid(), SIGTERM) }
  let (requests, answers) = try server.run(grace: .seconds(10))
  clients.wait()
  let got = received.withLock { $0 }
  guard requests > 0, answers == requests, got == answers else {
    print("\(requests) requests, \(answers) answers, \(got) received")
    exit(1)
  }
  print("every request was answered")
}
