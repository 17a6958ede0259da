import Testing

/// Runs a scenario with so many processors.
private func network(
  _ scenario: String, processors: Int, timeout: Duration = .seconds(60)
) throws -> ProgramResult {
  let environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"])
  return try run(product("network-scenarios"), [scenario], environment: environment, timeout: timeout)
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
  }
}
