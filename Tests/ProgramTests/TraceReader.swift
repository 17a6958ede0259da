import Foundation

/// An execution trace, as far as the tests need it: a reader of Go's format that knows nothing of the writer. It checks
/// the structure; that the order of events is possible Go's own parser finds out, where there is one.
struct TraceReader {
  /// The events that the runtime writes; the numbers are the format's.
  enum Kind: UInt8 {
    case procsChange = 9
    case procStart, procStop, procSteal, procStatus, goCreate
    case goStart = 16
    case goDestroy
    case goStop = 19
    case goBlock, goUnblock, goSyscallBegin, goSyscallEnd, goSyscallEndBlocked
    case stopBegin = 26
    case stopEnd, gcActive, gcBegin, gcEnd
    case sweepBegin = 32
    case sweepEnd, assistActive, assistBegin, assistEnd, heapAlloc, heapGoal
    case taskBegin = 40
    case taskEnd, regionBegin, regionEnd, log
    case goStatus = 48

    /// How many numbers follow the time.
    var argumentCount: Int {
      switch self {
      case .procStop, .goDestroy, .goSyscallEnd, .goSyscallEndBlocked, .stopEnd, .assistEnd: 0
      case .gcActive, .gcEnd, .sweepBegin, .assistActive, .assistBegin, .heapAlloc, .heapGoal: 1
      case .procsChange, .procStart, .procStatus, .goStart, .goStop, .goBlock, .goSyscallBegin, .stopBegin, .gcBegin,
        .sweepEnd, .taskEnd:
        2
      case .procSteal, .goCreate, .goUnblock, .regionBegin, .regionEnd: 3
      case .goStatus, .taskBegin, .log: 4
      }
    }
  }

  struct Event {
    var kind: Kind
    var generation: UInt64
    var stream: UInt64
    var time: UInt64
    var arguments: [UInt64]
    /// The goroutine that the stream's thread runs, before the event.
    var goroutine: UInt64?
  }

  struct Frame {
    var function: String
    var file: String
    var line: UInt64
  }

  /// What is wrong with a file.
  struct Malformed: Error {
    var what: String
  }

  private(set) var events: [Event] = []
  private(set) var generations: [UInt64] = []
  private var strings: [UInt64: [UInt64: String]] = [:]
  private var stacks: [UInt64: [UInt64: [Frame]]] = [:]
  private var rawStacks: [UInt64: [UInt64: [(function: UInt64, file: UInt64, line: UInt64)]]] = [:]

  /// Reads the file at `path`.
  /// - Throws: `Malformed`.
  init(path: String) throws {
    var bytes = Bytes(try Data(contentsOf: URL(filePath: path)))
    guard try bytes.take(16) == Array("go 1.25 trace\0\0\0".utf8) else { throw Malformed(what: "the header") }
    while !bytes.isEmpty { try readBatch(&bytes) }
    try resolveStacks()
    try followThreads()
    events.sort { $0.time < $1.time }
  }

  /// What the event's reason says.
  func reason(of event: Event) -> String { strings[event.generation]?[event.arguments[0]] ?? "" }

  /// The text that the event refers to by an argument.
  func text(_ argument: Int, of event: Event) -> String { strings[event.generation]?[event.arguments[argument]] ?? "" }

  /// How many texts a generation has.
  func textCount(in generation: UInt64) -> Int { strings[generation]?.count ?? 0 }

  /// The names of the functions of a stack.
  func functions(_ stack: UInt64, in generation: UInt64) -> [String] {
    (stacks[generation]?[stack] ?? []).map(\.function)
  }

  func frames(_ stack: UInt64, in generation: UInt64) -> [Frame] { stacks[generation]?[stack] ?? [] }

  /// The functions of the stack of the goroutine that the event is about, or that it happened in.
  func functions(of event: Event) -> [String] { functions(event.arguments.last ?? 0, in: event.generation) }

  func events(_ kind: Kind) -> [Event] { events.filter { $0.kind == kind } }

  /// The goroutines that were spawned with the function, by its name.
  func goroutines(of function: String) -> Set<UInt64> {
    Set(
      events(.goCreate).filter { event in
        functions(event.arguments[1], in: event.generation).contains { $0.contains(function) }
      }.map { $0.arguments[0] })
  }

  private mutating func readBatch(_ file: inout Bytes) throws {
    guard try file.byte() == 1 else { throw Malformed(what: "no batch") }
    let (generation, stream) = (try file.number(), try file.number())
    var time = try file.number()
    let size = Int(try file.number())
    guard size > 0 && size <= 65536 else { throw Malformed(what: "a batch of \(size) bytes") }
    if generations.last != generation {
      guard generation == generations.last.map({ $0 + 1 }) ?? generation else {
        throw Malformed(what: "generation \(generation) after \(generations)")
      }
      generations.append(generation)
    }
    var batch = Bytes(try file.take(size))
    switch batch.first {
    case 2: try readStacks(&batch, generation)
    case 4: try readStrings(&batch, generation)
    case 50: try readClocks(&batch)
    default:
      while !batch.isEmpty {
        let number = try batch.byte()
        guard let kind = Kind(rawValue: number) else { throw Malformed(what: "event \(number)") }
        time += try batch.number()
        let arguments = try (0..<kind.argumentCount).map { _ in try batch.number() }
        events.append(Event(kind: kind, generation: generation, stream: stream, time: time, arguments: arguments))
      }
    }
  }

  private mutating func readStrings(_ batch: inout Bytes, _ generation: UInt64) throws {
    _ = try batch.byte()
    while !batch.isEmpty {
      guard try batch.byte() == 5 else { throw Malformed(what: "no string") }
      let (number, length) = (try batch.number(), Int(try batch.number()))
      guard length <= 1024, strings[generation]?[number] == nil else { throw Malformed(what: "string \(number)") }
      strings[generation, default: [:]][number] = String(decoding: try batch.take(length), as: UTF8.self)
    }
  }

  private mutating func readStacks(_ batch: inout Bytes, _ generation: UInt64) throws {
    _ = try batch.byte()
    while !batch.isEmpty {
      guard try batch.byte() == 3 else { throw Malformed(what: "no stack") }
      let (number, count) = (try batch.number(), try batch.number())
      guard count <= 128, rawStacks[generation]?[number] == nil else { throw Malformed(what: "stack \(number)") }
      rawStacks[generation, default: [:]][number] = try (0..<count).map { _ in
        _ = try batch.number()
        return (try batch.number(), try batch.number(), try batch.number())
      }
    }
  }

  private func readClocks(_ batch: inout Bytes) throws {
    _ = try batch.byte()
    guard try batch.byte() == 8, try batch.number() == 1_000_000_000, try batch.byte() == 51 else {
      throw Malformed(what: "the clocks")
    }
    for _ in 0..<4 { _ = try batch.number() }
    guard batch.isEmpty else { throw Malformed(what: "more than the clocks") }
  }

  /// Every string of a stack is there.
  private mutating func resolveStacks() throws {
    for (generation, known) in rawStacks {
      for (number, frames) in known {
        stacks[generation, default: [:]][number] = try frames.map { frame in
          guard let function = strings[generation]?[frame.function],
            let file = frame.file == 0 ? "" : strings[generation]?[frame.file]
          else { throw Malformed(what: "a string of stack \(number)") }
          return Frame(function: function, file: file, line: frame.line)
        }
      }
    }
  }

  /// What each thread has at each event: a goroutine that it does not have cannot stop there.
  private mutating func followThreads() throws {
    var running: [UInt64: UInt64] = [:]
    var processors: [UInt64: UInt64] = [:]
    for index in events.indices {
      let event = events[index]
      let stream = event.stream
      events[index].goroutine = running[stream]
      func wants(_ condition: Bool) throws {
        if condition { return }
        throw Malformed(what: "\(event), running \(running[stream] ?? 0), processor \(processors[stream] ?? .max)")
      }
      switch event.kind {
      case .procStart:
        try wants(processors[stream] == nil)
        processors[stream] = event.arguments[0]
      case .procStop:
        try wants(processors[stream] != nil)
        processors[stream] = nil
      case .procStatus where event.arguments[1] != 2: processors[stream] = event.arguments[0]
      case .goStart:
        try wants(running[stream] == nil && processors[stream] != nil)
        running[stream] = event.arguments[0]
      case .goStatus where [2, 3].contains(event.arguments[2]): running[stream] = event.arguments[0]
      case .goBlock, .goStop, .goDestroy:
        try wants(running[stream] != nil && processors[stream] != nil)
        running[stream] = nil
      case .goSyscallEndBlocked:
        try wants(running[stream] != nil)
        running[stream] = nil
      case .goSyscallBegin, .goSyscallEnd, .procsChange, .stopBegin, .stopEnd, .gcBegin, .gcEnd, .assistBegin,
        .assistEnd, .taskBegin, .taskEnd, .regionBegin, .regionEnd, .log:
        try wants(running[stream] != nil && processors[stream] != nil)
      case .goCreate, .sweepBegin, .sweepEnd, .heapAlloc, .heapGoal: try wants(processors[stream] != nil)
      // Of the first generation it may be nobody's.
      case .gcActive: try wants(running[stream] != nil || event.generation == generations.first)
      case .goUnblock, .procSteal, .procStatus, .goStatus, .assistActive: break
      }
    }
  }
}

/// Bytes that are taken from the front.
private struct Bytes {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

  var isEmpty: Bool { position == bytes.count }
  var first: UInt8 { bytes[position] }

  mutating func byte() throws -> UInt8 { try take(1)[0] }

  mutating func take(_ count: Int) throws -> [UInt8] {
    guard bytes.count - position >= count else { throw TraceReader.Malformed(what: "the end") }
    defer { position += count }
    return Array(bytes[position..<position + count])
  }

  mutating func number() throws -> UInt64 {
    var (value, shift): (UInt64, UInt64) = (0, 0)
    while true {
      let next = try byte()
      value |= UInt64(next & 0x7f) << shift
      if next < 0x80 { return value }
      shift += 7
    }
  }
}
