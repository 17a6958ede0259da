import Foundation
import Testing

extension Programs.Traces {
  @Test(arguments: ["recorder-by-size", "recorder-by-age"], [1, 2, 8])
  func aRecorderRemembersTheLast(scenario: String, processors: Int) throws {
    let traced = try runTraced("apus-traced", scenario, processors: processors)
    #expect(traced.result.status == 0, "\(traced.result)")
    if scenario == "recorder-by-size" { #expect(traced.result.output == "true true\nfalse false\n") }
    #expect(marks(traced.trace) == ["last"])
    // Several, of which the oldest can go.
    #expect(traced.trace.generations.count >= 2, "\(traced.trace.generations)")
    #expect(traced.trace.generations.count < 12, "\(traced.trace.generations)")
  }

  @Test(arguments: [1, 2, 8]) func aRecorderRunsBesideATrace(processors: Int) throws {
    let outside = try runTraced(
      "apus-traced", "recorder-outside", processors: processors, alsoReading: [".within", ".inner"])
    #expect(outside.result.status == 0, "\(outside.result)")
    #expect(marks(outside.trace) == ["outer", "inner", "outer"])
    #expect(outside.others.map(marks) == [["outer", "inner"], ["inner"]])
    let inside = try runTraced("apus-traced", "recorder-inside", processors: processors, alsoReading: [".inner"])
    #expect(inside.result.status == 0, "\(inside.result)")
    #expect(marks(inside.trace) == ["outer", "inner", "outer"])
    #expect(inside.others.map(marks) == [["inner"]])
  }

  @Test(arguments: [1, 2, 8]) func aRecorderWritesAtAnyMoment(processors: Int) throws {
    let numbers = (0..<12).map { ".\($0)" }
    let traced = try runTraced("apus-traced", "recorder-at-any-moment", processors: processors, alsoReading: numbers)
    #expect(traced.result.status == 0, "\(traced.result)")
    #expect(traced.others.count == 12)
    #expect(traced.others.contains { $0.events(.gcEnd).count > 0 })
    #expect(traced.others.contains { $0.events(.regionBegin).count > 0 })
  }

  @Test func aRecorderRefusesWhatCannotBe() throws {
    let traced = try runTraced("apus-traced", "recorder-refusals", processors: 2)
    #expect(traced.result.status == 0, "\(traced.result)")
    #expect(
      traced.result.output == """
        the flight recorder is not on
        the flight recorder is not on
        done
        the flight recorder is on already
        another flight recorder is on
        the flight recorder is not on
        /no/such/folder/trace: cannot be written: no such file or directory
        true false
        done
        done
        done
        true
        false

        """)
    #expect(traced.result.errors.isEmpty, "\(traced.result)")
  }

  @Test(arguments: [("recorder-exit", 7), ("recorder-deadlock", 2)])
  func aProgramEndsWhileARecorderIsOn(scenario: String, status: Int) throws {
    let traced = try runTraced("apus-traced", scenario, processors: 2)
    #expect(traced.result.status == Int32(status), "\(traced.result)")
    #expect(traced.result.errors.contains("all goroutines are asleep") == (status == 2), "\(traced.result)")
  }
}

/// What the program has said, in order.
private func marks(_ trace: TraceReader) -> [String] {
  trace.events(.log).filter { trace.text(1, of: $0) == "mark" }.map { trace.text(2, of: $0) }
}
