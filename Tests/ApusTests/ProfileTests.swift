import Apus
import Testing

/// A message of protocol buffers, by field: numbers, and what has a length.
private struct Message {
  var numbers: [UInt64: [UInt64]] = [:]
  var contents: [UInt64: [ArraySlice<UInt8>]] = [:]

  /// Nil for bytes that are no message.
  init?(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    while !rest.isEmpty {
      guard let key = Self.number(&rest) else { return nil }
      switch key & 7 {
      case 0:
        guard let number = Self.number(&rest) else { return nil }
        numbers[key >> 3, default: []].append(number)
      case 2:
        guard let length = Self.number(&rest), length <= rest.count else { return nil }
        contents[key >> 3, default: []].append(rest.prefix(Int(length)))
        rest = rest.dropFirst(Int(length))
      default: return nil
      }
    }
  }

  static func number(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = bytes.popFirst(), shift < 64 {
      number |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return number }
      shift += 7
    }
    return nil
  }

  static func packed(_ bytes: ArraySlice<UInt8>) -> [UInt64] {
    var rest = bytes
    var numbers: [UInt64] = []
    while let number = number(&rest) { numbers.append(number) }
    return numbers
  }

  func messages(_ field: UInt64) -> [Message] { contents[field, default: []].compactMap { Message($0) } }
  func number(_ field: UInt64) -> UInt64 { numbers[field]?.first ?? 0 }
}

/// Behind the wait, so that it is no tail call.
@inline(never)
private func waitForProfile(_ channel: Channel<Int>, _ ready: WaitGroup) -> Int {
  ready.done()
  return (channel.receive() ?? 0) + 1
}

@Suite struct ProfileTests {
  @Test func goroutinesAreCountedByStack() throws {
    let profile = onGoroutine { () -> [UInt8] in
      let channel = Channel<Int>()
      let ready = WaitGroup()
      ready.add(10)
      for _ in 0..<10 { go { _ = waitForProfile(channel, ready) } }
      ready.wait()
      var profile: [UInt8] = []
      // Ready they are before they wait.
      for _ in 0..<20 { Goroutine.yield() }
      profile = Runtime.goroutineProfile()
      channel.close()
      return profile
    }
    let message = try #require(Message(profile[...]))
    let strings = message.contents[6, default: []].map { String(decoding: $0, as: UTF8.self) }
    #expect(strings.first == "")
    let type = try #require(message.messages(1).first)
    #expect(strings[Int(type.number(1))] == "goroutine")
    #expect(strings[Int(type.number(2))] == "count")
    // What every other message refers to is there, once.
    let functions = message.messages(5)
    let locations = message.messages(4)
    #expect(Set(functions.map { $0.number(1) }).count == functions.count)
    #expect(Set(locations.map { $0.number(1) }).count == locations.count)
    let byID = Dictionary(uniqueKeysWithValues: functions.map { ($0.number(1), $0) })
    var names: [UInt64: [String]] = [:]
    for location in locations {
      let lines = location.messages(4)
      #expect(!lines.isEmpty)
      names[location.number(1)] = try lines.map { line in
        let function = try #require(byID[line.number(1)])
        return "\(strings[Int(function.number(2))]) \(strings[Int(function.number(4))]):\(line.number(2))"
      }
    }
    var waiting: UInt64 = 0
    for sample in message.messages(2) {
      let places = Message.packed(try #require(sample.contents[1]?.first))
      #expect(places.allSatisfy { names[$0] != nil })
      let stack = places.flatMap { names[$0] ?? [] }
      let values = Message.packed(try #require(sample.contents[2]?.first))
      let value = try #require(values.first)
      #expect(value > 0)
      if stack.contains(where: { $0.contains("waitForProfile") && $0.contains("/ProfileTests.swift:") }) {
        waiting += value
      }
    }
    #expect(waiting == 10)
  }
}
