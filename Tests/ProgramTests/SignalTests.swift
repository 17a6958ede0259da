import Testing

/// Runs a scenario with so many processors.
private func signals(_ arguments: String..., processors: Int) throws -> ProgramResult {
  let environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"])
  return try run(product("signal-scenarios"), arguments, environment: environment)
}

extension Programs {
  /// Signals as values on channels.
  @Suite struct SignalsOnChannels {
    @Test(
      arguments: [
        ("notify", "true true true"), ("wakes-main", "14"), ("shared", "true true true true"), ("bursts", "wrong 0"),
        ("atomic-stop", "lost 0 true"), ("late-handler", "true true"), ("stop-restores-ignoring", "true true"),
        ("counts", "0 1\n0"),
        ("empty", "0 true"), ("broken-pipe-while-notified", "write pipe: broken pipe"),
      ], [1, 2, 8])
    func saysWhatItHasTo(scenario: (name: String, output: String), processors: Int) throws {
      let result = try signals(scenario.name, processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == scenario.output + "\n", "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    /// The signal goes from a channel to the guard of our writes in one step. In two, one run in thirty of these ended by it.
    @Test(arguments: [2, 8])
    func noWriteEndsTheProcessWhileASignalIsGivenBack(processors: Int) throws {
      for _ in 0..<20 {
        let result = try signals("broken-pipe-while-stopping", processors: processors)
        #expect(result.status == 0, "\(result)")
        #expect(result.output == "alive\n", "\(result)")
      }
    }

    @Test(arguments: [1, 2])
    func theDefaultComesBack(processors: Int) throws {
      let result = try signals("stop", processors: processors)
      #expect(result.signal == 15, "\(result)")
      #expect(result.output == "true\n", "\(result)")
    }

    @Test func aHandlerComesBack() throws {
      let result = try signals("stop-restores-a-handler", processors: 2)
      #expect(result.status == 7, "\(result)")
      #expect(result.output == "true\n", "\(result)")
    }

    /// SIGQUIT is the program's while it asks to be told, and reports all goroutines before and after.
    @Test(arguments: [1, 2])
    func theReportComesBack(processors: Int) throws {
      let result = try signals("quit", processors: processors)
      #expect(result.status == 2, "\(result)")
      #expect(result.output == "true\n", "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "SIGQUIT: quit", "\(result)")
      #expect(dump.goroutines.map(\.id).contains(1), "\(result)")
    }

    /// The program ends by its own SIGALRM.
    @Test(arguments: [1, 2])
    func waitingForASignalIsNoDeadlock(processors: Int) throws {
      let result = try signals("no-deadlock", processors: processors)
      #expect(result.signal == 14, "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    @Test(arguments: [1, 2])
    func afterStopItIsOne(processors: Int) throws {
      let result = try signals("deadlock-after-stop", processors: processors)
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "fatal error: all goroutines are asleep - deadlock!", "\(result)")
      #expect(dump.goroutines.map(\.id) == [1], "\(result)")
    }

    @Test(
      arguments: [
        ("9", "SIGKILL and SIGSTOP cannot be caught"), ("19", "SIGKILL and SIGSTOP cannot be caught"),
        ("11", "the signals of faults are the runtime's"), ("4", "the signals of faults are the runtime's"),
        ("23", "SIGURG is the runtime's"), ("32", "signals 32 and 33 are the C library's"),
        ("0", "not the number of a signal"), ("65", "not the number of a signal"), ("-1", "not the number of a signal"),
      ])
    func isRefused(signal: (number: String, reason: String)) throws {
      let result = try signals("refused", signal.number, processors: 2)
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.first == "panic: signal: \(signal.reason)", "\(result)")
    }

    @Test func theChannelIsNotTheProgramsToClose() throws {
      let result = try signals("close", processors: 2)
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.first == "panic: close of receive-only channel", "\(result)")
    }

    @Test func aBrokenPipeOfOursIsAnErrorAndNoSignal() throws {
      let result = try signals("broken-pipe", processors: 2)
      #expect(result.signal == 13, "\(result)")
      #expect(result.output == "true true true\n", "\(result)")
    }
  }
}
