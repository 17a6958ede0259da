/// Reads a trace's events in an order that is possible, nearly that of their times.
package struct TraceReader {
  /// An event, and what it refers to.
  package struct Item {
    package var event: TraceEvent
    /// Nanoseconds, of the clock that the trace counts by.
    package var time: Int64
    /// What the event's thread had in hand before it: nil for nothing.
    package var goroutine: UInt64?
    package var processor: UInt64?
    fileprivate var texts: TraceGeneration

    /// The string with this number; "" where there is none.
    package func text(_ number: UInt64) -> String { texts.strings[number] ?? "" }

    /// The frames of the stack with this number, the innermost first.
    package func frames(_ number: UInt64) -> [TraceFrame] { texts.stacks[number] ?? [] }

    /// Tells stacks apart whose numbers are of different generations.
    package var generation: UInt64 { texts.number }
  }

  private var file: TraceFile
  private var order = EventOrder()

  /// - Throws: `TraceFault`.
  package init(_ bytes: [UInt8]) throws { file = try TraceFile(bytes) }

  /// Calls `body` with each event.
  /// - Throws: `TraceFault`: of what is before that in the file, all was handed to `body`.
  package mutating func forEach(_ body: (Item) throws -> Void) throws {
    var count = 0
    while let generation = try file.next() {
      count += 1
      try replay(generation, body)
    }
    if count == 0 { throw TraceFault("a trace without a generation") }
  }

  private mutating func replay(_ generation: TraceGeneration, _ body: (Item) throws -> Void) throws {
    // By time, the latest first: the next one is at the end.
    var streams = try generation.streams().filter { $0.next != nil }
    streams.sort { $0.next!.time > $1.next!.time }
    let isNanoseconds = generation.frequency == 1_000_000_000
    while !streams.isEmpty {
      var index = streams.count - 1
      while true {
        guard let event = streams[index].next else { break }
        let context = order.context(of: event.thread)
        if try order.advance(event, in: generation.number) {
          let time =
            isNanoseconds ? Int64(clamping: event.time) : Int64(Double(event.time) * 1e9 / Double(generation.frequency))
          try body(
            Item(
              event: event, time: time, goroutine: context.goroutine, processor: context.processor, texts: generation))
          break
        }
        if index == 0 { throw Self.stuck(streams, in: generation) }
        index -= 1
      }
      try streams[index].advance()
      // Moved to where it belongs: mostly it stays, or goes on by a place or two.
      guard let next = streams[index].next else {
        streams.remove(at: index)
        continue
      }
      while index > 0, streams[index - 1].next!.time < next.time {
        streams.swapAt(index, index - 1)
        index -= 1
      }
      while index + 1 < streams.count, streams[index + 1].next!.time > next.time {
        streams.swapAt(index, index + 1)
        index += 1
      }
    }
  }

  private static func stuck(_ streams: [EventStream], in generation: TraceGeneration) -> TraceFault {
    let next = streams.suffix(4).reversed().compactMap(\.next).map { event in
      let arguments = (0..<event.kind.argumentCount).map { String(event.arguments[$0]) }.joined(separator: " ")
      return "thread \(event.thread.map(String.init) ?? "none") at byte \(event.offset): \(event.kind) \(arguments)"
    }
    return TraceFault(
      "in generation \(generation.number) no thread's next event is possible: \(next.joined(separator: "; "))")
  }
}
