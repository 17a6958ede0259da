// How many blocks each of the operations below allocates per 1,000 uses, once everything is warm. One line each:
// `NAME ALLOCATIONS`. `control` allocates one each time, so that a counter that counts nothing is seen.
import AllocationCounter
import Apus
import ApusNet
import Glibc

final class Box {
  var value: Int
  init(_ value: Int) { self.value = value }
}

if CommandLine.arguments.dropFirst() == ["sections"] {
  useEverything()
  exit(0)
}

/// What threads do meanwhile is counted, too: one that the runtime starts takes four blocks, and its preparations beside `main`,
/// which may come late, take a hundred. So `body` runs until nothing is counted, or many times, over a tenth of a second at least,
/// and the fewest count: what `body` itself takes it takes each time.
func measure(_ name: String, _ body: () -> Void) {
  body()
  var fewest = UInt64.max
  var rounds = 0
  while fewest > 0 && rounds < 50 {
    if rounds > 0 { usleep(2000) }
    rounds += 1
    let before = allocation_count()
    body()
    // Taken before `print`, which allocates too.
    fewest = min(fewest, allocation_count() - before)
  }
  print(name, fewest)
}

nonisolated(unsafe) var kept: [Box?] = [nil]

measure("control") {
  for i in 0..<1000 { kept[0] = Box(i) }
}

let requests = Channel<Int>()
let replies = Channel<Int>()
go((requests, replies)) { requests, replies in
  while let value = requests.receive() { replies.send(value + 1) }
}
measure("unbuffered") {
  for i in 0..<1000 {
    requests.send(i)
    _ = replies.receive()
  }
}

let buffered = Channel<Int>(capacity: 16)
measure("buffered") {
  for i in 0..<1000 {
    buffered.send(i)
    _ = buffered.receive()
  }
}

measure("try") {
  for i in 0..<1000 {
    _ = buffered.trySend(i)
    _ = buffered.tryReceive()
    _ = buffered.tryReceive()
  }
}

let never = Channel<Int>()
measure("select that waits") {
  for i in 0..<1000 {
    requests.send(i)
    switch select(replies.receiving, never.receiving) {
    case .first, .second: break
    }
  }
}

measure("select with default") {
  for _ in 0..<1000 {
    switch select(replies.receiving, never.receiving, .default) {
    case .first, .second, .third: break
    }
  }
}

measure("select that sends") {
  for i in 0..<1000 {
    switch select(never.receiving, requests.sending(i)) {
    case .first, .second: break
    }
    _ = replies.receive()
  }
}

measure("select with a timeout") {
  for i in 0..<1000 {
    requests.send(i)
    switch select(replies.receiving, .after(.seconds(60))) {
    case .first, .second: break
    }
  }
}

measure("sleep") {
  for _ in 0..<1000 { Goroutine.sleep(for: .nanoseconds(1)) }
}

let counter = Mutex(0)
measure("mutex") {
  for _ in 0..<1000 { counter.withLock { $0 += 1 } }
}

measure("yield") {
  for _ in 0..<1000 { Goroutine.yield() }
}

let finished = Channel<Int>(capacity: 1000)
measure("go with an argument") {
  for _ in 0..<1000 {
    go(finished) { $0.send(1) }
    _ = finished.receive()
  }
}

// A warm connection of each kind: what is read and written, waiting or not, with deadlines set anew each time.
let listener = try TCPListener(port: 0)
let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
let server = try listener.accept()
let (reader, writer) = try DescriptorStream.pipe()
let (first, second) = (try UDPSocket(host: "127.0.0.1", port: 0), try UDPSocket(host: "127.0.0.1", port: 0))
let secondAddress = second.address
let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
memory.initializeMemory(as: UInt8.self, repeating: 1)
let (large, small) = (memory, UnsafeMutableRawBufferPointer(rebasing: memory[..<64]))
let largeBytes = UnsafeRawBufferPointer(large)

go {
  withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 16) { buffer in
    while let count = try? server.read(into: buffer), count > 0 {
      try? server.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}
func exchange(_ buffer: UnsafeMutableRawBufferPointer) {
  try! client.write(UnsafeRawBufferPointer(buffer))
  try! client.readExactly(into: buffer)
}
measure("tcp") { for _ in 0..<1000 { exchange(large) } }
measure("tcp in small pieces") { for _ in 0..<1000 { exchange(small) } }
measure("tcp with deadlines") {
  for round in 0..<1000 {
    client.readDeadline = .now + .seconds(60 + round)
    client.writeDeadline = .now + .seconds(60 + round)
    exchange(small)
  }
}
measure("pipe") {
  for _ in 0..<1000 {
    try! writer.write(largeBytes)
    try! reader.readExactly(into: large)
  }
}
measure("udp") {
  for _ in 0..<1000 {
    try! first.send(largeBytes, to: secondAddress)
    _ = try! second.receive(into: large)
  }
}
