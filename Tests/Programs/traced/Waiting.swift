import Apus
import ApusNet

/// Hands so many numbers from one goroutine to another; the last one.
@discardableResult
func passNumbers(_ count: Int) -> Int {
  let numbers = Channel<Int>()
  go {
    for number in 1...count { numbers.send(number) }
    numbers.close()
  }
  var last = 0
  while let number = numbers.receive() { last = number }
  return last
}

@inline(never)
func waitForEver(_ never: Channel<Int>) {
  print(never.receive() ?? 0)
}

// One function for each way to wait, so that the stacks tell which goroutine is which.

@inline(never)
func receiver(_ channel: Channel<Int>) { _ = channel.receive() }

@inline(never)
func sender(_ channel: Channel<Int>) { channel.send(1) }

@inline(never)
func selector(_ first: Channel<Int>, _ second: Channel<Int>) { _ = select(first.receiving, second.receiving) }

@inline(never)
func sleeper() {
  let begin = nanoseconds()
  Goroutine.sleep(for: .milliseconds(5))
  // Not the last thing that it does: a tail call has no frame.
  if nanoseconds() < begin { print("never") }
}

@inline(never)
func locker(_ mutex: Mutex<Int>) { mutex.withLock { $0 += 1 } }

@inline(never)
func yielder() { for _ in 0..<200 { Goroutine.yield() } }

/// Goroutines that wait in six ways, each until main wakes it up.
func waitInEveryWay() {
  let (a, b, c, d) = (Channel<Int>(), Channel<Int>(), Channel<Int>(), Channel<Int>())
  let mutex = Mutex(0)
  let group = WaitGroup()
  mutex.withLock { _ in
    group.go { receiver(a) }
    group.go { sender(b) }
    group.go { selector(c, d) }
    group.go { sleeper() }
    group.go { locker(mutex) }
    group.go { yielder() }
    // Longer than any of them takes to come to wait.
    Goroutine.sleep(for: .milliseconds(20))
  }
  a.send(1)
  _ = b.receive()
  c.send(1)
  group.wait()
}

/// A server and four clients.
func exchangeMessages() throws {
  let listener = try TCPListener(port: 0)
  let port = listener.address.port
  go {
    while let connection = try? listener.accept() { go(connection) { serve($0) } }
  }
  let group = WaitGroup()
  for _ in 0..<4 {
    group.go {
      guard let connection = try? TCPConnection(host: "127.0.0.1", port: port) else { return }
      for _ in 0..<50 {
        try? connection.write(Array("message".utf8))
        _ = try? connection.readExactly(7)
      }
      connection.close()
    }
  }
  group.wait()
  listener.close()
}

@inline(never)
func serve(_ connection: TCPConnection) {
  while let message = try? connection.readExactly(7), message.count == 7 {
    try? connection.write(message)
  }
  connection.close()
}
