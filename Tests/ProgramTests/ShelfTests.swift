import Foundation
import Testing

/// Runs a scenario in which stacks are kept elsewhere after a few milliseconds, or as `shelve` says.
private func shelf(
  _ arguments: [String], processors: Int = 2, shelve: String? = "5ms", _ changes: [String: String] = [:]
) throws -> ProgramResult {
  var environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"].merging(changes) { $1 })
  environment["APUS_SHELVE"] = shelve
  return try run(product("apus-shelf"), arguments, environment: environment, timeout: .seconds(60))
}

extension Programs {
  /// Stacks of goroutines that wait for long are kept elsewhere, and nobody notices.
  @Suite struct Shelf {
    @Test(arguments: [1, 2, 8])
    func valuesAreThereWhenTheGoroutineWakes(processors: Int) throws {
      let result = try shelf(["wake", "300"], processors: processors)
      #expect(result.output == "wrong 0 faults 0\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func othersReadTheValues(processors: Int) throws {
      let result = try shelf(["read", "200"], processors: processors)
      #expect(result.output == "read wrong 0 wrong 0 faults true\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func whatOthersWriteStays(processors: Int) throws {
      let result = try shelf(["write", "200"], processors: processors)
      #expect(result.output == "wrong 0 faults true\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func nothingIsLostThatIsWrittenDuringTheWakeUp(processors: Int) throws {
      let result = try shelf(["write-and-wake", "40"], processors: processors)
      #expect(result.output == "lost 0\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func nothingIsLostThatThreadsWriteAtAnyMoment(processors: Int) throws {
      let result = try shelf(["write-always", "2000"], processors: processors, shelve: "1ms")
      #expect(result.output == "lost 0 taken true faults true\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func theCollectorReadsTheCopy(processors: Int) throws {
      let result = try shelf(["collect", "200"], processors: processors)
      #expect(result.output == "wrong 0 restored 0 faults 0\n", "\(result)")
    }

    @Test func theNumberOfProcessorsChangesMeanwhile() throws {
      let result = try shelf(["processors", "100"])
      #expect(result.output == "wrong 0\n", "\(result)")
    }

    @Test func aReportShowsTheFrames() throws {
      let result = try shelf(["panic", "4"], ["GOTRACEBACK": "all"])
      #expect(result.status == 2, "\(result)")
      let frames = result.errorLines.filter { $0.hasPrefix("apus_shelf.Sleepers.sleep(") }
      #expect(frames.count == 4, "\(result)")
    }

    /// The kernel refuses an address in a stack that is away; the runtime's own calls try again.
    @Test func ourCallsFindTheirPlace() throws {
      let result = try shelf(["receive"])
      #expect(result.output == "refused true received 8 8 sent 8 wrong 0\n", "\(result)")
    }

    /// Where two threads fault on one stack, one brings it back.
    @Test func everyStackIsBroughtBackOnce() throws {
      let result = try shelf(["together", "150"], shelve: "1ms")
      #expect(result.output == "lost 0 left 0\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func nobodyIsStoppedWithAStackInHand(processors: Int) throws {
      let result = try shelf(["stop", "300"], processors: processors, shelve: "1ms")
      #expect(result.output == "lost 0 refused 0\n", "\(result)")
    }

    @Test func nothingIsLostWhereTheKernelFailsHalfway() throws {
      let result = try shelf(["halfway", "20"], shelve: nil)
      #expect(result.output == "broken true wrong 0\n", "\(result)")
    }

    /// Neither by a dump nor by a trace, for which the world stands still.
    @Test func whoTellsOfThemLeavesThemAway() throws {
      let result = try shelf(["tell", "50"])
      #expect(result.output == "frames 50 restored 0 0 wrong 0\n", "\(result)")
    }

    @Test func aParentMayHaveBlockedTheSignal() throws {
      let result = try shelf(["masked", "20"])
      #expect(result.output == "read wrong 0 wrong 0 faults true\n", "\(result)")
    }

    @Test func aChildOfForkHasThemToo() throws {
      let result = try shelf(["fork"])
      #expect(result.output == "child 0 kept 3 wrong 0\n", "\(result)")
    }

    @Test func aJumpThereIsAFault() throws {
      let result = try shelf(["execute"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.hasPrefix("unexpected fault address"), "\(result)")
    }

    @Test func withAnotherHandlerNothingIsTaken() throws {
      let result = try shelf(["handler", "200"])
      #expect(result.output == "taken 0 wrong 0\n", "\(result)")
    }

    @Test func whenAnotherHandlerComesAllComeBack() throws {
      let result = try shelf(["handler-later", "100"])
      #expect(result.output == "more 0 on false wrong 0\n", "\(result)")
      #expect(result.errorLines.count == 1, "\(result)")
    }

    /// Nor is there a goroutine for it.
    @Test(arguments: ["off", nil])
    func nothingIsTakenUnasked(shelve: String?) throws {
      let result = try shelf(["wait", "200"], shelve: shelve, ["GOTRACEBACK": "system"])
      #expect(result.output == "taken 0 helpers 0 wrong 0\n", "\(result)")
    }

    @Test func aCallAsksForIt() throws {
      let result = try shelf(["call", "100"], shelve: nil, ["GOTRACEBACK": "system"])
      #expect(result.output == "false false true true helpers 1 wrong 0\n", "\(result)")
      #expect(result.errorLines.count == 1, "\(result)")
    }

    @Test func anIdleProcessComesToRest() throws {
      let result = try shelf(["rest", "100"])
      #expect(result.output == "rests true wrong 0\n", "\(result)")
    }
  }
}
