import Testing

private let headline = "fatal error: all goroutines are asleep - deadlock!"

/// Runs a scenario with so many processors.
private func faults(
  _ arguments: [String], processors: Int = 2, _ changes: [String: String] = [:], timeout: Duration = .seconds(60)
) throws -> ProgramResult {
  let environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"].merging(changes) { $1 })
  return try run(product("apus-faults"), arguments, environment: environment, timeout: timeout)
}

extension Programs {
  /// Programs in which nobody can go on, and programs which only look like that.
  @Suite struct Deadlocks {
    @Test(arguments: [1, 2, 8])
    func mainAloneIsReported(processors: Int) throws {
      let result = try faults(["deadlock"], processors: processors)
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == headline, "\(result)")
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.id) == [1], "\(result)")
      #expect(dump.goroutines.first?.status == "chan receive", "\(result)")
      #expect(dump.goroutines.first?.creator == nil, "\(result)")
      #expect(dump.goroutines.first?.calls("receive", "waitForEver", "main") == true, "\(result)")
      #expect(!dump.hasRuntimeFrames, "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func everybodyIsShown(processors: Int) throws {
      let result = try faults(["deadlock-many", "1000"], processors: processors)
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == headline, "\(result)")
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.count == 1001, "\(result)")
      #expect(dump.goroutines.map(\.id) == dump.goroutines.map(\.id).sorted(), "\(result)")
      #expect(dump.goroutines.allSatisfy { $0.status == "chan receive" && $0.calls("receive", "waitForEver") })
      #expect(dump.goroutines.dropFirst().allSatisfy { $0.creator == 1 }, "\(result)")
    }

    @Test func aHundredThousandAreShownInTime() throws {
      let result = try faults(["deadlock-many", "100000"])
      #expect(result.status == 2)
      let count = result.errors.utf8.split(separator: UInt8(ascii: "\n"))
        .filter { $0.starts(with: "goroutine ".utf8) }.count
      #expect(count == 100_001)
    }

    @Test(arguments: [1, 2, 8])
    func reasonsAreNamed(processors: Int) throws {
      let result = try faults(["deadlock-wait-group"], processors: processors)
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.status) == ["sync.WaitGroup.Wait", "chan receive"], "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func threadsOfLockedGoroutinesCountAsIdle(processors: Int) throws {
      let result = try faults(["deadlock-locked"], processors: processors)
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == headline, "\(result)")
      #expect(dump.faults == [], "\(result)")
      let status = "chan receive, locked to thread"
      #expect(dump.goroutines.map(\.status) == [status, status], "\(result)")
    }

    @Test(
      arguments: [
        "deadlock-thread-ended", "deadlock-after-foreign", "deadlock-after-thread",
      ], [1, 2, 8])
    func theEndOfAThreadIsNoticed(scenario: String, processors: Int) throws {
      let result = try faults([scenario], processors: processors)
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == headline, "\(result)")
      #expect(dump.goroutines.map(\.id) == [1], "\(result)")
    }

    /// A thread waits for the clock until a timer that is stopped then, and would not look before.
    @Test(
      arguments: ["deadlock-after-timer", "deadlock-after-timer-locked", "deadlock-after-timer-foreign"], [1, 2, 8])
    func aStoppedTimerDelaysNoReport(scenario: String, processors: Int) throws {
      let result = try faults([scenario], processors: processors)
      #expect(result.status == 2, "\(result)")
      #expect(DumpText(result.errors, hasHeadline: true).headline == headline, "\(result)")
      #expect(result.elapsed < .seconds(20), "\(result)")
    }

    @Test(
      arguments: [
        ("foreign-wakes", "woken 1\n"), ("goroutine-sleeps", "woken 1\n"), ("goroutine-reads", "woken 42\n"),
        ("main-reads", "woken 42\n"), ("threads-come-and-go", "done\n"),
      ], [1, 2, 8])
    func whoeverMayBeWokenIsNotReported(scenario: (name: String, output: String), processors: Int) throws {
      let result = try faults([scenario.name, "2000"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == scenario.output, "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    /// The program ends by its own SIGALRM.
    @Test(arguments: [1, 2, 8])
    func threadsOfOthersAvertAReport(processors: Int) throws {
      let result = try faults(["foreign-only"], processors: processors)
      #expect(result.signal == 14, "\(result)")
      #expect(result.errors == "", "\(result)")
    }
  }

  /// Goroutine dumps, and what GOTRACEBACK makes of a report.
  @Suite struct Dumps {
    private let statuses = [
      "running", "chan receive", "chan send", "sync.WaitGroup.Wait", "chan receive, locked to thread",
    ]

    @Test(arguments: [1, 2, 8])
    func everyStateIsNamed(processors: Int) throws {
      let result = try faults(["dump"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.errors == "", "\(result)")
      // `print` ends the last line once more.
      let dump = DumpText(String(result.output.dropLast()), hasHeadline: false)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.status).sorted() == statuses.sorted(), "\(result)")
      #expect(dump.goroutines.first?.status == "running", "\(result)")
      #expect(dump.goroutines.first?.calls("runDeadlock", "main") == true, "\(result)")
      #expect(dump.goroutines.dropFirst().allSatisfy { $0.creator == 1 }, "\(result)")
      let sender = dump.goroutines.first { $0.status == "chan send" }
      #expect(sender?.calls("send", "variety") == true, "\(result)")
      #expect(!dump.hasRuntimeFrames, "\(result)")
    }

    @Test func theCurrentGoroutineAlone() throws {
      let result = try faults(["dump-current"])
      #expect(result.status == 0, "\(result)")
      let dump = DumpText(String(result.output.dropLast()), hasHeadline: false)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.status) == ["running"], "\(result)")
    }

    @Test func aForeignThreadSeesEverybody() throws {
      let result = try faults(["dump-foreign"])
      #expect(result.status == 0, "\(result)")
      let dump = DumpText(String(result.output.dropLast()), hasHeadline: false)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.id) == [1], "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func manyAreDumpedWithoutAnEnd(processors: Int) throws {
      let result = try faults(["dump-many", "100000"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "100001\n", "\(result)")
    }

    @Test(arguments: [1, 8])
    func statisticsAgree(processors: Int) throws {
      let result = try faults(["statistics", "100"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "101 3 true\ntrue true true\ntrue\n", "\(result)")
    }

    @Test(arguments: [
      ("close-twice", "panic: close of closed channel", "main"),
      ("send-on-closed", "panic: send on closed channel", "main"),
      ("negative-wait-group", "panic: sync: negative WaitGroup counter", "runDeadlock"),
    ])
    func aPanicShowsTheGoroutineThatFailed(scenario: (name: String, headline: String, function: String)) throws {
      let result = try faults([scenario.name])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == scenario.headline, "\(result)")
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.id) == [1], "\(result)")
      #expect(dump.goroutines.first?.status == "running", "\(result)")
      #expect(dump.goroutines.first?.calls(scenario.function) == true, "\(result)")
      #expect(!dump.hasRuntimeFrames, "\(result)")
    }

    @Test(arguments: ["panic-with-others", "deadlock-many", "overflow"])
    func tracebackNoneIsTheHeadline(scenario: String) throws {
      let result = try faults([scenario, "3"], processors: 2, ["GOTRACEBACK": "none"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.count == (scenario == "overflow" ? 2 : 1), "\(result)")
    }

    @Test(arguments: [("single", 1), ("all", 5), ("system", 8)])
    func tracebackDecidesWhoIsShown(traceback: (level: String, count: Int)) throws {
      let result = try faults(["panic-with-others"], processors: 2, ["GOTRACEBACK": traceback.level])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "panic: close of closed channel", "\(result)")
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.count == traceback.count, "\(result)")
      #expect(dump.goroutines.first?.id == 1, "\(result)")
      #expect(dump.hasRuntimeFrames == (traceback.level == "system"), "\(result)")
    }

    @Test(arguments: ["panic-with-others", "deadlock"])
    func tracebackCrashEndsBySignal(scenario: String) throws {
      let result = try faults([scenario], processors: 2, ["GOTRACEBACK": "crash"])
      #expect(result.signal == 6, "\(result)")
      #expect(result.errors.contains("goroutine 1 ["), "\(result)")
      #expect(result.errors.contains("apus_goroutine_main"), "\(result)")
    }

    @Test func tracebackSystemShowsTheScheduler() throws {
      let result = try faults(["deadlock"], processors: 2, ["GOTRACEBACK": "system"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("\n\nruntime stack:\n"), "\(result)")
      #expect(result.errors.contains("\n\ngoroutine 1 [chan receive]:\n"), "\(result)")
    }
  }
}
