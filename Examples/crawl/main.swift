// A thousand connections to an echo server, two hundred at a time, with a line that tells how far it is.
//
//     crawl                 a server of its own
//     crawl PORT [COUNT]    a server that listens on PORT of this machine
import Apus
import ApusNet
import Glibc

/// How far the crawl is; all its goroutines count here.
struct Progress {
  var open = 0
  var done = 0
  var failed = 0
  var bytes = 0

  var line: String { "\(done) of \(count) done, \(failed) failed, \(open) open, \(bytes) bytes" }
}

let arguments = CommandLine.arguments.dropFirst().map { Int($0) ?? -1 }
guard arguments.count <= 2, arguments.allSatisfy({ $0 >= 0 }) else {
  print("usage: crawl [PORT [COUNT]]")
  exit(2)
}
let count = arguments.count == 2 ? arguments[1] : 1000
let progress = Mutex(Progress())

/// The port of a server in this process.
func startServer() throws -> Int {
  let listener = try TCPListener(port: 0)
  go {
    while let connection = try? listener.accept() {
      go(connection) { connection in
        while let bytes = try? connection.read(upTo: 4096), !bytes.isEmpty { try? connection.write(bytes) }
      }
    }
  }
  return listener.address.port
}

/// Fetches one "page": what is sent comes back.
func fetch(_ number: Int, port: Int) throws -> Int {
  let connection = try TCPConnection(host: "127.0.0.1", port: port, timeout: .seconds(10))
  defer { connection.close() }
  connection.setDeadline(.now + .seconds(30))
  try connection.write(gathering: [Array("page ".utf8), Array("\(number)".utf8)])
  try connection.closeWrite()
  var page: [UInt8] = []
  while true {
    let part = try connection.read(upTo: 4096)
    if part.isEmpty { return page == Array("page \(number)".utf8) ? page.count : -1 }
    page += part
  }
}

/// Writes the progress over the line before it, ten times a second.
func showProgress(until over: Receiver<Never>) {
  let ticker = Goroutine.Ticker(every: .milliseconds(100))
  defer { ticker.stop() }
  while true {
    switch select(ticker.channel.receiving, over.receiving) {
    case .first:
      let line = "\r" + progress.withLock { $0.line } + "   "
      _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    case .second:
      _ = write(STDERR_FILENO, "\n", 1)
      return
    }
  }
}

let port = try arguments.first ?? startServer()
let over = Channel<Never>()
let display = WaitGroup()
if isatty(STDERR_FILENO) != 0 { display.go { showProgress(until: over.receiver) } }

let slots = Semaphore(200)
let fetches = WaitGroup()
for number in 0..<count {
  slots.acquire()
  fetches.go {
    progress.withLock { $0.open += 1 }
    let bytes = (try? fetch(number, port: port)) ?? -1
    progress.withLock { progress in
      progress.open -= 1
      progress.done += 1
      if bytes < 0 { progress.failed += 1 } else { progress.bytes += bytes }
    }
    slots.release()
  }
}
fetches.wait()
over.close()
display.wait()
let result = progress.withLock { $0 }
print(result.line)
exit(result.failed == 0 ? 0 : 1)
