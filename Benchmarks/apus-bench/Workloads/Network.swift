import Apus
import ApusNet

/// A server on `-port` of the loopback interface that sends back what it gets, a goroutine a connection. It runs until it
/// is killed.
func echoServer(_ options: Options) {
  failing {
    let listener = try TCPListener(port: options.port)
    while true { go(try listener.accept()) { echo($0) } }
  }
}

/// Sends back what it gets, until the end.
func echo(_ connection: TCPConnection) {
  withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
    while let count = try? connection.read(into: buffer), count > 0 {
      guard (try? connection.write(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))) != nil else { return }
    }
  }
}

/// `-conns` connections to the server on `-port`; on each, `-n` messages of 64 bytes, each sent when the one before has
/// come back. An operation is one message there and back.
func tcpEcho(_ options: Options) {
  let size = options.size ?? 1000
  failing {
    let connections = try (0..<options.connections).map { _ in
      try TCPConnection(host: "127.0.0.1", port: options.port)
    }
    let latencies = Channel<[Int]>(capacity: connections.count)
    let start = nanoseconds()
    for connection in connections {
      go((connection, latencies)) { connection, latencies in
        failing { latencies.send(try exchange(size, over: connection)) }
      }
    }
    var all: [Int] = []
    for _ in connections { all += latencies.receive() ?? [] }
    let duration = nanoseconds() - start
    all.sort()
    func percentile(_ part: Double) -> Int { all[Int(Double(all.count - 1) * part)] / 1000 }
    report(
      "tcp_echo", options, size: size, duration: duration, operations: size * connections.count,
      "p50_us=\(percentile(0.5)) p99_us=\(percentile(0.99))")
  }
}

/// Sends `count` messages and waits for each; the nanoseconds that each took.
private func exchange(_ count: Int, over connection: TCPConnection) throws -> [Int] {
  var latencies: [Int] = []
  latencies.reserveCapacity(count)
  try withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { buffer in
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    for _ in 0..<count {
      let start = nanoseconds()
      try connection.write(UnsafeRawBufferPointer(buffer))
      try connection.readExactly(into: buffer)
      latencies.append(nanoseconds() - start)
    }
  }
  connection.close()
  return latencies
}

/// Ends the process with what `body` throws.
func failing(_ body: () throws -> Void) {
  do {
    try body()
  } catch {
    fatalError("\(error)")
  }
}
