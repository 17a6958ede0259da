import ApusInspection
import Testing

/// What is wrong with `bytes`, and where; nil for nothing.
private func fault(_ bytes: [UInt8]) -> String? {
  do {
    _ = try Timeline(bytes)
    return nil
  } catch {
    return "\(error)"
  }
}

/// Processor 0 belongs to thread 10 and runs goroutine 1, which starts goroutine 2 and goes on; thread 11 takes processor 1
/// and runs goroutine 2. Its clock is behind: it seems to start before anybody has made it.
private func twoThreads() -> TraceBytes {
  var trace = TraceBytes()
  trace.clock()
  trace.batch(
    thread: 10, at: 1000, TraceBytes.event(.procStatus, 0, 1), TraceBytes.event(.goStatusStack, 1, 10, 2, 1),
    TraceBytes.event(.procStatus, 1, 2), TraceBytes.event(.goCreate, after: 100, 2, 2, 1),
    TraceBytes.event(.goBlock, after: 300, 3, 1))
  trace.batch(
    thread: 11, at: 1050, TraceBytes.event(.procStart, 1, 1), TraceBytes.event(.goStart, 2, 1),
    TraceBytes.event(.goUnblock, after: 500, 1, 1, 2), TraceBytes.event(.goDestroy))
  trace.batch(thread: 10, at: 1700, TraceBytes.event(.goStart, after: 50, 1, 2))
  trace.texts(1, "main", "worker", "chan receive")
  return trace
}

@Suite struct TraceReaderTests {
  @Test func ordersEventsOfSeveralThreads() throws {
    let timeline = try Timeline(twoThreads().bytes)
    #expect(timeline.goroutines.map(\.id) == [1, 2])
    #expect(timeline.goroutines.map { timeline.texts[Int($0.function)] } == ["main", "worker"])
    #expect(timeline.goroutines[1].creator == 1)
    #expect(timeline.goroutines.map(\.hasEnded) == [false, true])
    #expect(timeline.goroutines[0].spans.map(\.activity) == [.running, .blocked, .runnable, .running])
    #expect(timeline.goroutines[1].spans.map(\.activity) == [.runnable, .running])
    let blocked = timeline.goroutines[0].spans[1]
    #expect(timeline.texts[Int(blocked.reason)] == "chan receive")
    #expect(timeline.stacks[Int(blocked.stack)].map(\.function) == ["main"])
    // No span has a negative length, although the clocks contradict each other.
    #expect(timeline.goroutines.allSatisfy { $0.spans.allSatisfy { $0.length >= 0 } })
    #expect(timeline.processors.map(\.id) == [0, 1])
    #expect(timeline.processors.map { $0.runs.map(\.goroutine) } == [[0, 0], [1]])
  }

  @Test func readsTheClock() throws {
    var trace = TraceBytes()
    trace.clock(frequency: 1_000_000)
    trace.batch(
      thread: 1, at: 5, TraceBytes.event(.procStatus, 0, 1), TraceBytes.event(.goStatus, 1, 1, 2),
      TraceBytes.event(.goStop, after: 70, 0, 0))
    #expect(try Timeline(trace.bytes).duration == 71_000)
  }

  @Test func goesOnInTheNextGeneration() throws {
    var trace = twoThreads()
    trace.clock(2)
    trace.batch(
      2, thread: 10, at: 3000, TraceBytes.event(.procStatus, 0, 1), TraceBytes.event(.procStatus, 1, 2),
      TraceBytes.event(.goStatusStack, 1, 10, 2, 1), TraceBytes.event(.goBlock, 3, 1))
    trace.texts(2, "main", "worker", "select")
    // Processor 1 is thread 11's still.
    #expect(fault(trace.bytes)?.contains("processor 1 is said to be idle, which it is not") == true)
    var right = twoThreads()
    right.clock(2)
    right.batch(
      2, thread: 10, at: 3000, TraceBytes.event(.procStatus, 0, 1), TraceBytes.event(.goStatusStack, 1, 10, 2, 1),
      TraceBytes.event(.goBlock, 3, 1))
    right.texts(2, "main", "worker", "select")
    let timeline = try Timeline(right.bytes)
    let last = try #require(timeline.goroutines[0].spans.last)
    #expect(timeline.texts[Int(last.reason)] == "select")
    #expect(timeline.goroutines[0].spans.map(\.activity) == [.running, .blocked, .runnable, .running, .blocked])
  }

  @Test func namesWhatIsNoTrace() {
    #expect(fault([])?.contains("not an execution trace") == true)
    #expect(fault(Array("#!/bin/sh\nexit 1\n".utf8))?.contains("not an execution trace") == true)
    #expect(fault(Array("go 1.19 trace\0\0\0".utf8)) == "a trace of version 1.19, which is none of 1.23 to 1.27")
    #expect(fault(Array("go 1.25 trace\0\0\0".utf8)) == "a trace without a generation")
  }

  @Test func namesThePlaceOfAFault() {
    var garbage = TraceBytes()
    garbage.clock()
    garbage.batch(thread: 1, at: 1, [200, 0])
    #expect(fault(garbage.bytes)?.hasSuffix("no event has number 200") == true)

    var alone = TraceBytes()
    alone.clock()
    alone.batch(thread: 1, at: 1, TraceBytes.event(.goBlock, 0, 0))
    #expect(fault(alone.bytes)?.hasSuffix("goBlock of thread 1: no goroutine runs there") == true)

    // Nobody has made goroutine 7: whatever comes first, it cannot start.
    var nobody = TraceBytes()
    nobody.clock()
    nobody.batch(thread: 3, at: 1, TraceBytes.event(.procStatus, 0, 1), TraceBytes.event(.goStart, 7, 1))
    #expect(fault(nobody.bytes)?.contains("no thread's next event is possible: thread 3 at byte") == true)
  }

  /// Wherever a file ends or a byte is wrong: a fault or a timeline, and never a crash.
  @Test func survivesDamage() {
    let whole = twoThreads().bytes
    for length in 0..<whole.count { _ = fault(Array(whole[..<length])) }
    // In the middle of a batch the end is noticed.
    #expect(fault(Array(whole.dropLast()))?.contains("are left") == true)
    for index in whole.indices {
      for value: UInt8 in [0, 1, 0x7f, 0x80, 0xff] {
        var damaged = whole
        damaged[index] = value
        _ = fault(damaged)
      }
    }
  }
}
