import Foundation

/// A frame of a stack.
package struct TraceFrame: Hashable, Sendable {
  package var function: String
  package var file: String
  package var line: UInt64
}

/// A part of a trace that can be read by itself: the events of each thread, and what they refer to.
struct TraceGeneration {
  let number: UInt64
  /// How many units of time a second has.
  fileprivate(set) var frequency: UInt64 = 1_000_000_000
  fileprivate(set) var strings: [UInt64: String] = [:]
  fileprivate(set) var stacks: [UInt64: [TraceFrame]] = [:]
  fileprivate var batches: [UInt64: [(time: UInt64, bytes: ByteCursor)]] = [:]
  fileprivate var rawStacks: [UInt64: [(function: UInt64, file: UInt64, line: UInt64)]] = [:]

  fileprivate init(number: UInt64) { self.number = number }

  /// The threads' events. What is no thread's has the number that is all ones.
  func streams() throws -> [EventStream] {
    try batches.map { try EventStream(thread: $0 == .max ? nil : $0, batches: $1) }
  }
}

/// The file of a trace in Go's format (internal/trace/tracev2), of Go 1.23 to 1.27: it is taken apart into generations, one
/// after the other.
struct TraceFile {
  /// What begins with these bytes.
  private enum Kind {
    static let batch: UInt8 = 1
    static let stacks: UInt8 = 2
    static let stack: UInt8 = 3
    static let strings: UInt8 = 4
    static let string: UInt8 = 5
    static let samples: UInt8 = 6
    static let frequency: UInt8 = 8
    static let experimental: UInt8 = 49
    static let sync: UInt8 = 50
    static let endOfGeneration: UInt8 = 52
  }

  private struct Batch {
    var generation: UInt64
    var thread: UInt64
    var time: UInt64
    var isExperimental: Bool
    var bytes: ByteCursor
  }

  private static let headerSize = 16
  private static let versions = 23...27
  private static let longestString: UInt64 = 1024
  private static let deepestStack: UInt64 = 128

  private var rest: ByteCursor
  /// Of the generation that comes next, the batch that has shown that the one before is over.
  private var pending: Batch?

  /// - Throws: `TraceFault` where the bytes are no trace's.
  init(_ bytes: [UInt8]) throws {
    let header = String(decoding: bytes.prefix(Self.headerSize), as: UTF8.self)
    guard header.hasPrefix("go 1."), header.dropFirst(7).hasPrefix(" trace\0"),
      let version = Int(header.dropFirst(5).prefix(2))
    else { throw TraceFault("not an execution trace: it does not begin with \"go 1.25 trace\"") }
    guard Self.versions.contains(version) else {
      throw TraceFault("a trace of version 1.\(version), which is none of 1.23 to 1.27")
    }
    rest = ByteCursor(bytes)
    _ = try rest.part(UInt64(Self.headerSize))
  }

  /// The next generation; nil at the end of the file.
  mutating func next() throws -> TraceGeneration? {
    guard let first = try nextBatch() else { return nil }
    var generation = TraceGeneration(number: first.generation)
    pending = first
    while let batch = try nextBatch() {
      if batch.generation != generation.number {
        guard batch.generation > generation.number else {
          throw TraceFault("generation \(batch.generation) after \(generation.number)", at: batch.bytes.position)
        }
        pending = batch
        break
      }
      if !batch.isExperimental { try Self.add(batch, to: &generation) }
    }
    try Self.resolveStacks(&generation)
    return generation
  }

  private mutating func nextBatch() throws -> Batch? {
    if let batch = pending {
      pending = nil
      return batch
    }
    while !rest.isEmpty {
      let offset = rest.position
      let kind = try rest.byte()
      if kind == Kind.endOfGeneration { continue }
      let isExperimental = kind == Kind.experimental
      guard isExperimental || kind == Kind.batch else { throw TraceFault("no batch begins here", at: offset) }
      if isExperimental { _ = try rest.byte() }
      let (generation, thread, time) = (try rest.number(), try rest.number(), try rest.number())
      let size = try rest.number()
      return Batch(
        generation: generation, thread: thread, time: time, isExperimental: isExperimental, bytes: try rest.part(size))
    }
    return nil
  }

  private static func add(_ batch: Batch, to generation: inout TraceGeneration) throws {
    var bytes = batch.bytes
    if bytes.isEmpty { return }
    switch try bytes.byte() {
    case Kind.stacks: try addStacks(&bytes, to: &generation)
    case Kind.strings: try addStrings(&bytes, to: &generation)
    case Kind.samples: break
    case Kind.frequency: generation.frequency = try frequency(&bytes)
    case Kind.sync:
      let offset = bytes.position
      guard try bytes.byte() == Kind.frequency else {
        throw TraceFault("a generation without its unit of time", at: offset)
      }
      generation.frequency = try frequency(&bytes)
    default: generation.batches[batch.thread, default: []].append((batch.time, batch.bytes))
    }
  }

  private static func frequency(_ batch: inout ByteCursor) throws -> UInt64 {
    let offset = batch.position
    let frequency = try batch.number()
    if frequency == 0 { throw TraceFault("a second of no units of time", at: offset) }
    return frequency
  }

  private static func addStrings(_ batch: inout ByteCursor, to generation: inout TraceGeneration) throws {
    while !batch.isEmpty {
      let offset = batch.position
      guard try batch.byte() == Kind.string else { throw TraceFault("no string begins here", at: offset) }
      let (number, length) = (try batch.number(), try batch.number())
      if length > longestString {
        throw TraceFault("a string of \(length) bytes, more than \(longestString)", at: offset)
      }
      let text = try batch.part(length).text
      guard generation.strings.updateValue(text, forKey: number) == nil else {
        throw TraceFault("string \(number) is there twice", at: offset)
      }
    }
  }

  private static func addStacks(_ batch: inout ByteCursor, to generation: inout TraceGeneration) throws {
    while !batch.isEmpty {
      let offset = batch.position
      guard try batch.byte() == Kind.stack else { throw TraceFault("no stack begins here", at: offset) }
      let (number, count) = (try batch.number(), try batch.number())
      if count > deepestStack { throw TraceFault("a stack of \(count) frames, more than \(deepestStack)", at: offset) }
      var frames: [(function: UInt64, file: UInt64, line: UInt64)] = []
      for _ in 0..<count {
        _ = try batch.number()
        frames.append((try batch.number(), try batch.number(), try batch.number()))
      }
      guard generation.rawStacks.updateValue(frames, forKey: number) == nil else {
        throw TraceFault("stack \(number) is there twice", at: offset)
      }
    }
  }

  /// Strings come after the stacks that refer to them.
  private static func resolveStacks(_ generation: inout TraceGeneration) throws {
    func text(_ number: UInt64, of stack: UInt64) throws -> String {
      if number == 0 { return "" }
      if let text = generation.strings[number] { return text }
      throw TraceFault("generation \(generation.number) lacks string \(number), of its stack \(stack): was it cut off?")
    }
    for (number, frames) in generation.rawStacks {
      generation.stacks[number] = try frames.map { frame in
        TraceFrame(
          function: try text(frame.function, of: number), file: try text(frame.file, of: number), line: frame.line)
      }
    }
    generation.rawStacks = [:]
  }
}
