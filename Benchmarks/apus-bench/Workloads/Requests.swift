import Apus
import ApusNet

/// A server of HTTP/1.1 on `-port` of the loopback interface, a goroutine a connection, which stays open: it takes apart
/// the head of each request, and answers with a greeting, or that there is no such thing. It runs until it is killed.
func httpHandler(_ options: Options) {
  failing {
    let listener = try TCPListener(port: options.port)
    while true { go(try listener.accept()) { serveRequests($0) } }
  }
}

/// Answers request after request, until one is the last, makes no sense, or is too long.
private func serveRequests(_ connection: TCPConnection) {
  withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 16) { buffer in
    var filled = 0
    while true {
      var used = 0
      while let request = Request(UnsafeRawBufferPointer(rebasing: buffer[used..<filled])) {
        used += request.length
        let answer = request.isMalformed ? Answer.malformed : request.isForGreeting ? Answer.greeting : Answer.unknown
        let bytes = UnsafeRawBufferPointer(start: answer.utf8Start, count: answer.utf8CodeUnitCount)
        guard (try? connection.write(bytes)) != nil, request.keepsConnection else { return }
      }
      // The beginning of the next one.
      let rest = UnsafeRawBufferPointer(rebasing: buffer[used..<filled])
      buffer.copyMemory(from: rest)
      filled = rest.count
      let free = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
      guard !free.isEmpty, let count = try? connection.read(into: free), count > 0 else { return }
      filled += count
    }
  }
}

private enum Answer {
  static var greeting: StaticString {
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!"
  }
  static var unknown: StaticString {
    "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\nNot found\n"
  }
  static var malformed: StaticString { "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" }
}

/// What the handler wants to know of a request.
private struct Request {
  /// All its bytes, those of a body among them.
  private(set) var length = 0
  private(set) var isMalformed = false
  /// `GET /`.
  private(set) var isForGreeting = false
  private(set) var keepsConnection = true

  private var bodyLength = 0

  /// The request at the beginning of `bytes`; nil where its end is missing.
  init?(_ bytes: UnsafeRawBufferPointer) {
    var start = 0
    while let end = bytes[start...].firstIndex(of: 10) {
      let isFirst = start == 0
      let line = UnsafeRawBufferPointer(rebasing: bytes[start..<max(end - 1, start)])
      let isEnded = end > start && bytes[end - 1] == 13
      start = end + 1
      if isEnded && line.isEmpty && !isFirst {
        length = start + bodyLength
        if bytes.count < length { return nil }
        return
      }
      guard isEnded, isFirst ? read(requestLine: line) : read(field: line) else {
        self = Self(malformed: bytes)
        return
      }
    }
    return nil
  }

  private init(malformed bytes: UnsafeRawBufferPointer) {
    (length, isMalformed, keepsConnection) = (bytes.count, true, false)
  }

  /// Reads `METHOD TARGET HTTP/1.1`; false for anything else.
  private mutating func read(requestLine line: UnsafeRawBufferPointer) -> Bool {
    guard let first = line.firstIndex(of: UInt8(ascii: " ")), let last = line.lastIndex(of: UInt8(ascii: " ")),
      first > 0, first + 1 < last, !line[(first + 1)..<last].contains(UInt8(ascii: " ")),
      Self.isEqual(UnsafeRawBufferPointer(rebasing: line[(last + 1)...]), "http/1.1")
    else { return false }
    let method = UnsafeRawBufferPointer(rebasing: line[..<first])
    isForGreeting = Self.isEqual(method, "get") && last == first + 2 && line[first + 1] == UInt8(ascii: "/")
    return true
  }

  /// Reads `NAME: VALUE`, of those that matter here; false for anything else.
  private mutating func read(field line: UnsafeRawBufferPointer) -> Bool {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return false }
    let name = UnsafeRawBufferPointer(rebasing: line[..<colon])
    var value = line[(colon + 1)...]
    while value.first == UInt8(ascii: " ") { value.removeFirst() }
    while value.last == UInt8(ascii: " ") { value.removeLast() }
    if Self.isEqual(name, "connection") {
      keepsConnection = !Self.isEqual(UnsafeRawBufferPointer(rebasing: value), "close")
    } else if Self.isEqual(name, "content-length") {
      guard let number = Self.number(value) else { return false }
      bodyLength = number
    }
    return true
  }

  /// Whether they are the letters of `name`, whose case does not matter.
  private static func isEqual(_ bytes: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
    if bytes.count != name.utf8CodeUnitCount { return false }
    for index in 0..<bytes.count {
      let byte = bytes[index]
      let isCapital = byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
      if (isCapital ? byte | 0x20 : byte) != name.utf8Start[index] { return false }
    }
    return true
  }

  /// A length in decimal; nil for one that is none, or that no body of a request here has.
  private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> Int? {
    var value = 0
    for byte in digits {
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), value < 1 << 20 else { return nil }
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
    }
    return digits.isEmpty ? nil : value
  }
}
