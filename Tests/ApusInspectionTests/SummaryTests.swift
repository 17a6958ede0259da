import ApusInspection
import Testing

@Suite struct SummaryTests {
  /// Goroutine 1 runs for 400 ns, is stopped, waits for 100 ns, runs for 300 and blocks for 200.
  private func summary() throws -> TraceSummary {
    var trace = TraceBytes()
    trace.clock()
    trace.batch(
      thread: 1, at: 0, TraceBytes.event(.procStatus, after: 0, 0, 1),
      TraceBytes.event(.goStatusStack, after: 0, 1, 1, 2, 1), TraceBytes.event(.goStop, after: 400, 2, 1),
      TraceBytes.event(.goStart, after: 100, 1, 1), TraceBytes.event(.goBlock, after: 300, 3, 1),
      TraceBytes.event(.procStop, after: 200))
    trace.texts(1, "main", "preempted", "chan receive")
    return TraceSummary(try Timeline(trace.bytes))
  }

  @Test func addsUpTimes() throws {
    let summary = try summary()
    #expect(summary.duration == 1000)
    #expect(summary.preemptionCount == 1)
    #expect(summary.groups.map(\.function) == ["main"])
    let group = try #require(summary.groups.first)
    #expect([group.running, group.runnable, group.syscall, group.blocked] == [700, 100, 0, 200])
    #expect(group.reasons == ["chan receive": 200])
    #expect(summary.latency(0.5) == 100)
    #expect(summary.processors.map(\.busy) == [700])
  }

  @Test func isReadable() throws {
    #expect(
      try summary().text() == """
        1.00 µs, 6 events, 1 goroutines, 1 processors, 1 preemptions

        Scheduling latency (runnable until running, 1 times): 50 % 100 ns, 90 % 100 ns, 99 % 100 ns, 99.9 % 100 ns, max 100 ns

        Processor    busy  utilisation  preemptions
        P0         700 ns       70.0 %            1

        count  running  runnable  syscall  blocked  Goroutines by function
            1   700 ns    100 ns     0 ns   200 ns  main

        blocked  Reason        Function
         200 ns  chan receive  main

        """)
  }

  /// Of two regions one began before the trace; of two tasks one does not end in it.
  private func annotated() throws -> Timeline {
    var trace = TraceBytes()
    trace.clock()
    trace.batch(
      thread: 1, at: 0, TraceBytes.event(.procStatus, after: 0, 0, 1),
      TraceBytes.event(.goStatusStack, after: 0, 1, 1, 2, 1), TraceBytes.event(.regionEnd, after: 5, 0, 2, 1),
      TraceBytes.event(.taskBegin, after: 5, 7, 0, 3, 1), TraceBytes.event(.regionBegin, after: 10, 7, 2, 1),
      TraceBytes.event(.userLog, after: 10, 7, 4, 5, 1), TraceBytes.event(.regionEnd, after: 70, 7, 2, 1),
      TraceBytes.event(.taskEnd, after: 10, 7, 1), TraceBytes.event(.taskEnd, after: 1, 6, 1),
      TraceBytes.event(.taskBegin, after: 9, 8, 7, 3, 1), TraceBytes.event(.regionBegin, after: 0, 8, 6, 1),
      TraceBytes.event(.goDestroy, after: 80))
    trace.texts(1, "main", "parse", "request", "size", "4 bytes", "left open")
    return try Timeline(trace.bytes)
  }

  @Test func addsUpWhatTheProgramHasNamed() throws {
    let timeline = try annotated()
    #expect(timeline.tasks.map(\.id) == [7, 8])
    #expect(timeline.tasks.map(\.parent) == [0, 7])
    #expect(timeline.tasks.map(\.hasEnded) == [true, false])
    #expect(timeline.regions.map { [$0.start, $0.end] } == [[0, 5], [20, 100], [120, 200]])
    #expect(timeline.regions.map(\.task) == [0, 7, 8])
    #expect(timeline.logs.map(\.time) == [30])
    let summary = TraceSummary(timeline)
    #expect(
      summary.text().hasSuffix(
        """

        count   total  longest  Task
            2  180 ns   100 ns  request

        count  total  longest  Region
            2  85 ns    80 ns  parse
            1  80 ns    80 ns  left open

        count  Messages by category
            1  size

        """), "\(summary.text())")
    let page = timeline.page(title: "annotated", summary: summary)
    #expect(page.contains("\"tasks\":[[7,0,"))
    #expect(page.contains("\"regions\":[[0,0,"))
    #expect(page.contains("\"logs\":[[0,30,"))
  }

  @Test(arguments: [
    (0, "0 ns"), (999, "999 ns"), (1000, "1.00 µs"), (9_994, "9.99 µs"), (9_996, "10.0 µs"), (99_960, "100 µs"),
    (999_400, "999 µs"), (999_600, "1.00 ms"), (61_000_000_000, "61.0 s"), (7_200_000_000_000, "7200 s"),
  ])
  func writesDurations(nanoseconds: Int64, text: String) {
    #expect(durationText(nanoseconds) == text)
  }
}
