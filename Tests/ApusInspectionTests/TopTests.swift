import ApusInspection
import Testing

/// What a running program tells, taken apart and shown.
@Suite struct TopTests {
  private static func answer(time: Int64, preemptions: Int, switches: Int, latencies: String = "") -> String {
    """
    time\t\(time)
    figure\tthreads\t7
    figure\tidle threads\t2
    figure\tpreempted threads\t1
    figure\tglobal queue\t3
    figure\tpreemptions\t\(preemptions)
    figure\tworst stop\t42000
    figure\tof a later version\t1
    unknown\tline\(latencies)
    processor\t0\trunning\t4\t\(switches)\t17
    processor\t1\tidle\t0\t9\t0
    processor\tbroken
    goroutines\t1\tsleep\tmain
    goroutines\t2\tchan receive\tserver.serve(_:)
    \t/home/somebody/server/Sources/Serve.swift:12 +0x1f
    goroutines\t3\tchan receive\tserver.serve(_:)
    \t/home/somebody/server/Sources/Serve.swift:12 +0x8a
    goroutines\t4\trunning\tserver.work
    \tserver+0x1234 pc=0x55551234

    """
  }

  private let first = RuntimeFigures(
    answer(
      time: 1_000_000_000, preemptions: 100, switches: 1000, latencies: "\nlatency\t640\t7\nlatency\t5000000\t1"))
  private let second = RuntimeFigures(
    answer(
      time: 3_000_000_000, preemptions: 120, switches: 4000,
      latencies: "\nlatency\t512\t2\nlatency\tmany\t4\nlatency\t640\t8\nlatency\t40960\t1\nlatency\t5000000\t1"))

  @Test func takesTheAnswerApart() {
    #expect(first.time == 1_000_000_000)
    #expect(first["threads"] == 7 && first["preemptions"] == 100 && first["nothing"] == 0)
    #expect(first.processors.map(\.state) == ["running", "idle"])
    #expect(first.processors[0].queued == 4 && first.processors[0].switches == 1000)
    #expect(first.processors[0].goroutine == 17)
    #expect(
      first.groups.map { "\($0.count) \($0.state) \($0.function) \($0.place)" } == [
        "5 chan receive server.serve(_:) Serve.swift:12", "4 running server.work server+0x1234", "1 sleep main ",
      ])
    #expect(first.states.map(\.count) == [5, 4, 1])
    #expect(RuntimeFigures("").groups == [])
  }

  @Test func latenciesAreRanked() {
    let latencies = first.latencies
    #expect(latencies.total == 8)
    #expect([0, 0.5, 7.0 / 8].map(latencies.quantile) == [640, 640, 640])
    #expect([0.88, 1].map(latencies.quantile) == [5_000_000, 5_000_000])
    #expect(RuntimeFigures("").latencies.quantile(0.5) == nil)
    #expect(RuntimeFigures("").text(since: nil, limit: nil).contains("\nscheduling latency, 0 samples\n"))
  }

  @Test func showsWhatWasCounted() {
    #expect(
      first.text(since: nil, limit: nil) == """
        10 goroutines: 5 chan receive, 4 running, 1 sleep
        2 processors, 1 idle; 7 threads, 2 idle, 1 stopped; 3 goroutines in the global queue
        preemptions 100, steals 0, handoffs 0, processors taken from sleepers 0, from calls 0
        scheduling latency, 8 samples: 50 % < 640 ns, 99 % < 5.00 ms, all < 5.00 ms
        the world was stopped for 42.0 µs at most until it stood

        Processor  state    queued  switches  goroutine
        P0         running       4      1000         17
        P1         idle          0         9          -

        count  State         Created by        at
            5  chan receive  server.serve(_:)  Serve.swift:12
            4  running       server.work       server+0x1234
            1  sleep         main

        """)
  }

  @Test func showsWhatWasAddedInASecond() {
    let text = second.text(since: first, limit: 2)
    #expect(text.contains("preemptions 10/s, steals 0/s,"), "\(text)")
    #expect(text.contains("P0         running       4    1500/s         17\n"), "\(text)")
    #expect(text.contains("P1         idle          0       0/s          -\n"), "\(text)")
    // The longest was there before.
    #expect(
      text.contains("\nscheduling latency, 4 samples: 50 % < 512 ns, 99 % < 41.0 µs, all < 41.0 µs\n"), "\(text)")
    #expect(text.hasSuffix("\n… and 1 more kinds (--all shows them)\n"), "\(text)")
    // A clock that stands still divides nothing.
    #expect(first.text(since: first, limit: nil).contains("preemptions 100,"))
  }
}
