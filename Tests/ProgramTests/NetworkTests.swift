import Testing

/// Runs a scenario with so many processors.
private func network(
  _ arguments: String..., processors: Int, timeout: Duration = .seconds(60)
) throws -> ProgramResult {
  let environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"])
  return try run(product("network-scenarios"), arguments, environment: environment, timeout: timeout)
}

extension Programs {
  /// Who polls, and what is a deadlock, where goroutines wait for descriptors.
  @Suite struct Poller {
    @Test(
      arguments: [
        "waits-for-a-signal-handler", "locked-waits", "foreign-waits", "poller-begins", "timer-interrupts",
        "busy-yields", "busy-switches",
      ], [1, 2, 8])
    func somebodyPolls(scenario: String, processors: Int) throws {
      let result = try network(scenario, processors: processors, timeout: .seconds(20))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "ready\n", "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func waitingForADescriptorIsNoDeadlock(processors: Int) throws {
      let result = try network("waits-for-ever", processors: processors)
      #expect(result.signal == 14, "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    @Test(arguments: [("deadlock-after-waiting", "closing\n"), ("deadlock-with-open-descriptors", "")], [1, 2, 8])
    func aDeadlockIsFoundAlsoWhereThereIsAPoller(scenario: (name: String, output: String), processors: Int) throws {
      let result = try network(scenario.name, processors: processors, timeout: .seconds(20))
      #expect(result.status == 2, "\(result)")
      #expect(result.output == scenario.output, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "fatal error: all goroutines are asleep - deadlock!", "\(result)")
      #expect(dump.goroutines.map(\.id) == [1], "\(result)")
    }

    @Test func theMonitorPollsWhereNobodyHas() throws {
      let result = try network("monitor-polls", processors: 1)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "0 1 ready\n", "\(result)")
    }

    @Test(arguments: [1, 2])
    func whatTheMonitorHasFoundIsNotTakenForDead(processors: Int) throws {
      let result = try network("harvested-by-the-monitor", processors: processors, timeout: .seconds(60))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "all\n", "\(result)")
    }
  }
  /// Descriptors: what is taken is given back, and what happens when there are none.
  @Suite struct Descriptors {
    @Test(arguments: [1, 2, 8])
    func connectionsLeaveNone(processors: Int) throws {
      let result = try network("cycles", "10000", processors: processors, timeout: .seconds(120))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "left over 0\n", "\(result)")
    }

    @Test func failuresLeaveNone() throws {
      let result = try network("failures", "100", processors: 2)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "failures 600 left over 0\n", "\(result)")
    }

    @Test(arguments: [1, 2])
    func acceptingWaitsForOne(processors: Int) throws {
      let result = try network("no-descriptor-to-accept", processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "0 [1, 2]\n", "\(result)")
    }

    @Test(arguments: [1, 2])
    func theWaitEndsWithDeadlineAndListener(processors: Int) throws {
      let result = try network("no-descriptor-ends", processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "timedOut closed at once\n", "\(result)")
    }

    @Test func openingWithoutOneIsAnError() throws {
      let result = try network("no-descriptor-to-open", processors: 2)
      #expect(result.status == 0, "\(result)")
      let operations = [
        "dial 127.0.0.1:1", "listen 127.0.0.1:1", "listen 127.0.0.1:1", "dial /tmp/x", "listen /tmp/x", "open pipe",
      ]
      #expect(result.output == operations.map { "\($0): too many open files\n" }.joined(), "\(result)")
    }

    @Test func thePollerMayBeginLater() throws {
      let result = try network("no-descriptor-for-the-poller", processors: 2)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "24\ntrue\n", "\(result)")
    }
  }
}
