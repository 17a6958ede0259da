import Testing

extension Programs {
  /// How a process ends: its status, and the report where it ends badly.
  @Suite struct Ends {
    @Test(arguments: [0, 1, 3, 255])
    func statusIsTheProgramsOwn(status: Int32) throws {
      let result = try run(product("apus-faults"), ["exit-status", "\(status)"])
      #expect(result.status == status, "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    @Test func anyGoroutineCanExit() throws {
      let result = try run(product("apus-faults"), ["exit-from-goroutine", "7"])
      #expect(result.status == 7, "\(result)")
    }

    @Test func mainsReturnEndsTheProcessWhateverRuns() throws {
      let result = try run(product("apus-faults"), ["exit-while-goroutines-run"], timeout: .seconds(20))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "main returns\n", "\(result)")
    }

    @Test func secondCloseIsFatal() throws {
      let result = try run(product("apus-faults"), ["close-twice"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.contains("panic: close of closed channel"), "\(result)")
    }

    @Test func sendOnClosedChannelIsFatal() throws {
      let result = try run(product("apus-faults"), ["send-on-closed"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.contains("panic: send on closed channel"), "\(result)")
    }

    @Test(arguments: [("ticker-interval", "NewTicker"), ("ticker-reset-interval", "Ticker.Reset")])
    func anIntervalOfNothingIsFatal(scenario: String, name: String) throws {
      let result = try run(product("apus-faults"), [scenario])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.contains("panic: non-positive interval for \(name)"), "\(result)")
    }

    @Test(arguments: ["overflow", "overflow-main"])
    func overflowNamesTheGoroutineAndItsFrames(scenario: String) throws {
      let result = try run(product("apus-faults"), [scenario])
      #expect(result.status == 2, "\(result)")
      #expect(overflowLimit(result) != nil, "\(result)")
      #expect(result.errors.contains(scenario == "overflow-main" ? "goroutine 1 [" : "goroutine "), "\(result)")
      #expect(result.errors.contains("descend"), "\(result)")
    }

    /// One that has jumped over the guard, if it is met by a guard further down. The frames are another's there.
    @Test(.enabled(if: isDebug, "the optimizer takes the frame away"))
    func anOverflowBeyondTheGuardIsOneToo() throws {
      let result = try run(product("apus-faults"), ["overflow-far"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("goroutine stack exceeds 262144-byte limit"), "\(result)")
    }

    @Test func overflowNamesTheLimitInForce() throws {
      let environment = inheritedEnvironment(["APUS_STACK": "2m"])
      let usual = try run(product("apus-faults"), ["overflow"])
      let larger = try run(product("apus-faults"), ["overflow"], environment: environment)
      #expect(larger.status == 2, "\(larger)")
      #expect((overflowLimit(larger) ?? 0) > (overflowLimit(usual) ?? .max), "\(larger)")
    }

    @Test(.enabled(if: threadBudget() > 10_500, "needs 10,500 threads"))
    func threadsAreLimited() throws {
      let result = try run(product("apus-faults"), ["hold-threads", "10001"], timeout: .seconds(120))
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("10000-thread limit"), "\(result)")
      #expect(result.output == "", "\(result)")
    }

    @Test func aFewHundredThreadsAreNoTrouble() throws {
      let result = try run(product("apus-faults"), ["hold-threads", "300"])
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "all threads held\n", "\(result)")
    }
  }
}

/// The number of bytes that an overflow report names; nil where there is no such report.
private func overflowLimit(_ result: ProgramResult) -> Int? {
  result.errors.firstMatch(of: /goroutine stack exceeds ([0-9]+)-byte limit/).flatMap { Int($0.1) }
}
