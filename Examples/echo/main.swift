// A server that sends back what it gets, and its load.
//
//     echo                                   both in one process
//     echo serve PORT                        the server, until it is killed
//     echo load PORT [CONNECTIONS MESSAGES]  the load
import Apus
import ApusNet

/// Accepts for ever, a goroutine a connection.
func serve(_ listener: TCPListener) throws {
  while true {
    go(try listener.accept()) { connection in
      var buffer = [UInt8](repeating: 0, count: 4096)
      do {
        try buffer.withUnsafeMutableBytes { buffer in
          while true {
            let count = try connection.read(into: buffer)
            if count == 0 { return }
            try connection.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
          }
        }
      } catch {
        complain("\(error)")
      }
    }
  }
}

/// `connections` at once, each with `messages` there and back; how many came back as they were sent.
func load(port: Int, connections: Int, messages: Int) throws -> Int {
  let group = WaitGroup()
  let returned = Mutex(0)
  for number in 0..<connections {
    let connection = try TCPConnection(host: "127.0.0.1", port: port, timeout: .seconds(10))
    connection.setDeadline(.now + .seconds(60))
    group.go {
      do {
        for message in 0..<messages {
          let sent = Array("connection \(number), message \(message)".utf8)
          try connection.write(sent)
          if try connection.readExactly(sent.count) == sent { returned.withLock { $0 += 1 } }
        }
      } catch {
        complain("\(error)")
      }
      connection.close()
    }
  }
  group.wait()
  return returned.withLock { $0 }
}

let arguments = CommandLine.arguments.dropFirst()
let numbers = arguments.dropFirst().map { Int($0) ?? -1 }
switch arguments.first {
case nil:
  let listener = try TCPListener(port: 0)
  go { try? serve(listener) }
  let returned = try load(port: listener.address.port, connections: 100, messages: 100)
  print("\(returned) messages came back")
case "serve" where numbers.count == 1:
  let listener = try TCPListener(port: numbers[0])
  print("listening on \(listener)")
  try serve(listener)
case "load" where numbers.count == 1 || numbers.count == 3:
  let (connections, messages) = numbers.count == 3 ? (numbers[1], numbers[2]) : (100, 1000)
  guard connections >= 0, messages >= 0 else { usage() }
  var returned = 0
  let took = try ContinuousClock().measure {
    returned = try load(port: numbers[0], connections: connections, messages: messages)
  }
  print("\(returned) messages came back in \(took)")
default:
  usage()
}
