import Foundation
import Testing

extension Programs.Traces {
  @Test(arguments: [1, 2, 8]) func tellsWhatTheProgramSays(processors: Int) throws {
    let traced = try runTraced("apus-traced", "annotations", processors: processors)
    #expect(traced.result.status == 0, "\(traced.result)")
    let trace = traced.trace
    let tasks = trace.events(.taskBegin)
    #expect(tasks.map { trace.text(2, of: $0) } == ["request", "part"])
    let (outer, inner) = (tasks[0].arguments[0], tasks[1].arguments[0])
    #expect(tasks.map { $0.arguments[1] } == [0, outer])
    let ends = trace.events(.taskEnd)
    #expect(ends.map { $0.arguments[0] } == [inner, outer])
    #expect(ends[0].goroutine != tasks[1].goroutine)

    let begins = trace.events(.regionBegin)
    let regions = Dictionary(grouping: begins) { trace.text(1, of: $0) }
    #expect(regions.mapValues(\.count) == ["parse": 1, "split": 1, "work": 2, "refuse": 1, "dropped": 1])
    #expect(regions["parse"]?[0].arguments[0] == outer)
    #expect(regions["split"]?[0].arguments[0] == 0)
    #expect(regions["work"]?.allSatisfy { $0.arguments[0] == inner } == true)
    #expect(Set(regions["work"]?.map(\.goroutine) ?? []).count == 2)
    for begin in begins {
      let name = trace.text(1, of: begin)
      let end = trace.events(.regionEnd).first { end in
        trace.text(1, of: end) == name && end.goroutine == begin.goroutine && end.arguments[0] == begin.arguments[0]
      }
      #expect(end.map { $0.time > begin.time } == true, "\(name)")
      let functions = trace.functions(of: begin)
      #expect(!functions.contains { $0.contains("ApusRuntime") || $0.contains("String") }, "\(name): \(functions)")
      #expect(functions.contains { $0.contains("apus_traced.") }, "\(name): \(functions)")
    }
    let slept = regions["work"]?.first.map { begin in
      trace.events(.regionEnd).filter { $0.goroutine == begin.goroutine }.map { $0.time - begin.time }
    }
    #expect((slept?.first ?? 0) >= 1_000_000)

    let logs = trace.events(.log).map { (trace.text(1, of: $0), trace.text(2, of: $0), $0.arguments[0]) }
    #expect(logs.contains { $0 == ("size", "4 bytes", outer) })
    #expect(
      logs.contains { $0 == ("worker", "number 0", inner) } && logs.contains { $0 == ("worker", "number 1", inner) })
    #expect(logs.contains { $0 == ("", String(repeating: "x", count: 1023), 0) })
    #expect(logs.contains { $0 == ("many", String(repeating: "x", count: 1024), 0) })
    #expect(logs.count == 5)
    if let parsed = traced.parsed {
      let hasRegion = parsed.output.contains("Task=\(outer) Type=\"parse\"")
      let hasLog = parsed.output.contains("Task=\(outer) Category=\"size\" Message=\"4 bytes\"")
      #expect(hasRegion && hasLog)
    }
  }

  @Test(arguments: [1, 2, 8]) func regionsEndByATrap(processors: Int) throws {
    let traced = try runTraced("apus-traced", "annotations-left", processors: processors)
    #expect(traced.result.status == 0, "\(traced.result)")
    let trace = traced.trace
    let names = [.regionBegin, .regionEnd].map { trace.events($0).map { event in trace.text(1, of: event) } }
    #expect(
      names == [
        ["around", "whole", "left", "left within", "behind", "outer", "inner", "misuse"],
        ["whole", "left within", "left", "behind", "inner", "outer", "misuse", "around"],
      ])
  }

  @Test func whatIsSaidWhileNoTraceIsOnIsNotHeard() throws {
    let traced = try runTraced("apus-traced", "annotations-beyond", processors: 2, alsoReading: [".first"])
    #expect(traced.result.status == 0, "\(traced.result)")
    let trace = traced.trace
    #expect(trace.events(.regionBegin).map { trace.text(1, of: $0) } == ["again"])
    #expect(trace.events(.regionEnd).map { trace.text(1, of: $0) } == ["again", "late"])
    #expect(trace.events(.taskBegin).isEmpty && trace.events(.taskEnd).isEmpty && trace.events(.log).isEmpty)
    let first = try #require(traced.others.first)
    #expect(first.events(.regionBegin).map { first.text(1, of: $0) } == ["inside", "late"])
    #expect(first.events(.regionEnd).map { first.text(1, of: $0) } == ["inside"])
  }

  @Test(arguments: [1, 2, 8]) func aGenerationHasItsOwnTexts(processors: Int) throws {
    let traced = try runTraced("apus-traced", "logs", processors: processors)
    #expect(traced.result.status == 0, "\(traced.result)")
    let trace = traced.trace
    let messages = trace.events(.log).map { trace.text(2, of: $0) }
    #expect(messages == (0..<20_000).map { "the number \($0)" })
    #expect(trace.generations.count > 1)
    for generation in trace.generations { #expect(trace.textCount(in: generation) < 20_000) }
  }
}
