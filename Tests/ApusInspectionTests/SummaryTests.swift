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

  @Test(arguments: [
    (0, "0 ns"), (999, "999 ns"), (1000, "1.00 µs"), (9_994, "9.99 µs"), (9_996, "10.0 µs"), (99_960, "100 µs"),
    (999_400, "999 µs"), (999_600, "1.00 ms"), (61_000_000_000, "61.0 s"), (7_200_000_000_000, "7200 s"),
  ])
  func writesDurations(nanoseconds: Int64, text: String) {
    #expect(durationText(nanoseconds) == text)
  }
}
