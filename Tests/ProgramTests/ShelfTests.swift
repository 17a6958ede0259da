import Foundation
import Testing

/// Runs a scenario in which stacks are kept elsewhere after a few milliseconds, or as `shelve` says.
private func shelf(
  _ arguments: [String], processors: Int = 2, way: Programs.Shelf.Way = .filled, shelve: String? = "5ms",
  _ changes: [String: String] = [:]
) throws -> ProgramResult {
  var environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"].merging(changes) { $1 })
  environment["APUS_SHELVE"] = shelve
  environment["GODEBUG"] = way.rawValue
  return try run(product("apus-shelf"), arguments, environment: environment, timeout: .seconds(60))
}

extension Programs {
  /// Stacks of goroutines that wait for long are kept elsewhere, and nobody notices.
  @Suite struct Shelf {
    /// How stacks come back.
    enum Way: String, CaseIterable {
      /// In one step each, where the system can do that.
      case filled = "userfaultfdoff=0"
      /// In some steps, as where it cannot.
      case bySteps = "userfaultfdoff=1"
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func valuesAreThereWhenTheGoroutineWakes(processors: Int, way: Way) throws {
      let result = try shelf(["wake", "300"], processors: processors, way: way)
      #expect(result.output == "wrong 0 faults 0\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func othersReadTheValues(processors: Int, way: Way) throws {
      let result = try shelf(["read", "200"], processors: processors, way: way)
      #expect(result.output == "read wrong 0 wrong 0 faults true\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func whatOthersWriteStays(processors: Int, way: Way) throws {
      let result = try shelf(["write", "200"], processors: processors, way: way)
      #expect(result.output == "wrong 0 faults true\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func nothingIsLostThatIsWrittenDuringTheWakeUp(processors: Int, way: Way) throws {
      let result = try shelf(["write-and-wake", "40"], processors: processors, way: way)
      #expect(result.output == "lost 0\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func nothingIsLostThatThreadsWriteAtAnyMoment(processors: Int, way: Way) throws {
      let result = try shelf(["write-always", "2000"], processors: processors, way: way, shelve: "1ms")
      #expect(result.output == "lost 0 taken true faults true\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func theCollectorReadsTheCopy(processors: Int, way: Way) throws {
      let result = try shelf(["collect", "200"], processors: processors, way: way)
      #expect(result.output == "wrong 0 restored 0 faults 0\n", "\(result)")
    }

    @Test(arguments: Way.allCases)
    func theNumberOfProcessorsChangesMeanwhile(way: Way) throws {
      let result = try shelf(["processors", "100"], way: way)
      #expect(result.output == "wrong 0\n", "\(result)")
    }

    @Test func aReportShowsTheFrames() throws {
      let result = try shelf(["panic", "4"], ["GOTRACEBACK": "all"])
      #expect(result.status == 2, "\(result)")
      let frames = result.errorLines.filter { $0.hasPrefix("apus_shelf.Sleepers.sleep(") }
      #expect(frames.count == 4, "\(result)")
    }

    /// The kernel refuses an address in a stack that is away; the runtime's own calls try again.
    @Test(arguments: Way.allCases)
    func ourCallsFindTheirPlace(way: Way) throws {
      let result = try shelf(["receive"], way: way)
      #expect(result.output == "refused true received 8 8 sent 8 wrong 0\n", "\(result)")
    }

    /// The way that is quicker is taken where there is one, and only there.
    @Test(arguments: [1, 2, 8], Way.allCases)
    func eachWayIsTaken(processors: Int, way: Way) throws {
      let result = try shelf(["fill", "200"], processors: processors, way: way)
      let expected =
        result.output.hasPrefix("can 1") && way == .filled
        ? "filled 200 by steps 0 wrong 0\n" : "filled 0 by steps 200 wrong 0\n"
      #expect(result.output.hasSuffix(expected), "\(result)")
    }

    /// Those that are away come back in the other way then.
    @Test func aProgramMayCloseADescriptorThatItDoesNotKnow() throws {
      let result = try shelf(["close", "200"])
      #expect(result.output.hasSuffix("wrong 0 filled 0 fills false\n"), "\(result)")
    }

    @Test(arguments: Way.allCases)
    func whoReadsFromInputThatThereIsNotIsTold(way: Way) throws {
      let result = try shelf(["without-input"], way: way)
      #expect(result.output == "line none errno 9\n", "\(result)")
    }

    /// The handler's need is not beyond what other people's threads give it.
    @Test(arguments: Way.allCases)
    func aSmallSignalStackWillDo(way: Way) throws {
      let result = try shelf(["small", "20"], way: way)
      #expect(result.output == "read wrong 0 wrong 0\n", "\(result)")
    }

    @Test(arguments: Way.allCases)
    func nothingLiesBelowWhatWasInUse(way: Way) throws {
      let result = try shelf(["below", "40"], way: way)
      #expect(result.output == "below 0 0 wrong 0\n", "\(result)")
    }

    /// Where two threads fault on one stack, one brings it back.
    @Test(arguments: Way.allCases)
    func everyStackIsBroughtBackOnce(way: Way) throws {
      let result = try shelf(["together", "150"], way: way, shelve: "1ms")
      #expect(result.output == "lost 0 left 0 uncounted 0\n", "\(result)")
    }

    @Test(arguments: [1, 2, 8], Way.allCases)
    func nobodyIsStoppedWithAStackInHand(processors: Int, way: Way) throws {
      let result = try shelf(["stop", "300"], processors: processors, way: way, shelve: "1ms")
      #expect(result.output == "lost 0 refused 0\n", "\(result)")
    }

    @Test(arguments: Way.allCases)
    func nothingIsLostWhereTheKernelFailsHalfway(way: Way) throws {
      let result = try shelf(["halfway", "20"], way: way, shelve: nil)
      #expect(result.output == "broken true wrong 0\n", "\(result)")
    }

    /// Neither by a dump nor by a trace, for which the world stands still.
    @Test func whoTellsOfThemLeavesThemAway() throws {
      let result = try shelf(["tell", "50"])
      #expect(result.output == "frames 50 restored 0 0 wrong 0\n", "\(result)")
    }

    @Test(arguments: Way.allCases)
    func aParentMayHaveBlockedTheSignal(way: Way) throws {
      let result = try shelf(["masked", "20"], way: way)
      #expect(result.output == "read wrong 0 wrong 0 faults true\n", "\(result)")
    }

    @Test(arguments: Way.allCases)
    func aChildOfForkHasThemToo(way: Way) throws {
      let result = try shelf(["fork"], way: way)
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

    @Test(arguments: Way.allCases)
    func whenAnotherHandlerComesAllComeBack(way: Way) throws {
      let result = try shelf(["handler-later", "100"], way: way)
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
