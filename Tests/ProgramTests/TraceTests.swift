import Foundation
import Testing

/// A traced scenario: what the program left behind, and its trace.
struct Traced {
  var result: ProgramResult
  var trace: TraceReader
  /// What Go's own parser says of it: nil where Go is not installed.
  var parsed: ProgramResult?
  /// What it has left in other files.
  var others: [TraceReader] = []
}

/// Runs `program` with a file for its trace, which has to have the structure of one, and which Go's parser has to accept.
func runTraced(
  _ program: String = "apus-traced", _ scenario: String? = nil, processors: Int, byEnvironment: Bool = false,
  arguments: [String] = [], alsoReading suffixes: [String] = [], environment: [String: String] = [:]
) throws -> Traced {
  let file = FileManager.default.temporaryDirectory.appending(path: "apus-trace-\(UUID().uuidString)").path
  defer { try? FileManager.default.removeItem(atPath: file) }
  var changes = environment.merging(["GOMAXPROCS": "\(processors)"]) { $1 }
  if byEnvironment { changes["APUS_TRACE"] = file }
  let result = try run(
    product(program), (scenario.map { [$0, file] } ?? []) + arguments, environment: inheritedEnvironment(changes))
  var traced = Traced(result: result, trace: try TraceReader(path: file), parsed: try parse(file))
  for suffix in suffixes {
    defer { try? FileManager.default.removeItem(atPath: file + suffix) }
    traced.others.append(try TraceReader(path: file + suffix))
    _ = try parse(file + suffix)
  }
  return traced
}

/// What Go's parser says of the file, which it has to accept.
private func parse(_ file: String) throws -> ProgramResult? {
  guard let goTool else { return nil }
  let go = try run(goTool, ["tool", "trace", "-d=parsed", file], timeout: .seconds(300))
  #expect(go.status == 0, "Go's parser does not accept it: \(go)")
  return go
}

extension Programs {
  /// Execution traces: every file is one that Go's tools accept, and says what the program has done.
  @Suite struct Traces {
    @Test(arguments: [1, 2, 8]) func tellsWhyGoroutinesWait(processors: Int) throws {
      let traced = try runTraced("apus-traced", "waits", processors: processors)
      #expect(traced.result.status == 0, "\(traced.result)")
      let trace = traced.trace
      let reasons = [
        "receiver": "chan receive", "sender": "chan send", "selector": "select", "sleeper": "sleep", "locker": "sync",
      ]
      for (function, reason) in reasons {
        let blocked = trace.events(.goBlock).filter { event in
          trace.functions(of: event).contains { $0.hasPrefix("apus_traced.\(function)(") }
        }
        #expect(blocked.count == 1, "\(function): \(blocked)")
        #expect(blocked.allSatisfy { trace.reason(of: $0) == reason }, "\(function)")
        // The goroutine is woken, runs again and ends.
        for event in blocked {
          let later = trace.events.filter { $0.arguments.first == event.goroutine && $0.time >= event.time }
          #expect(later.contains { $0.kind == .goUnblock }, "\(function)")
          #expect(later.contains { $0.kind == .goStart }, "\(function)")
          #expect(trace.events.contains { $0.kind == .goDestroy && $0.goroutine == event.goroutine }, "\(function)")
        }
      }
      let yields = trace.events(.goStop).filter { event in
        trace.functions(of: event).contains { $0.hasPrefix("apus_traced.yielder(") }
      }
      #expect(yields.allSatisfy { trace.reason(of: $0) == "runtime.Gosched" })
      // Main waits for the group, by a lock of Go's sync.
      #expect(trace.events(.goBlock).contains { $0.goroutine == 1 && trace.reason(of: $0) == "sync" })
      if let parsed = traced.parsed {
        #expect(parsed.output.contains("Running->Waiting Reason=\"chan receive\""), "\(parsed)")
        #expect(parsed.output.contains("apus_traced.receiver("), "\(parsed)")
      }
    }

    @Test func namesGoroutinesAndPlaces() throws {
      let trace = try runTraced("sieve", processors: 2, byEnvironment: true).trace
      let first = trace.goroutines(of: "closure #1 in sieve.naturals()")
      let filters = trace.goroutines(of: "closure #1 in sieve.multiplesRemoved(of:from:)")
      #expect(first.count == 1)
      #expect(filters.count == 10)
      // Nothing of the runtime is in the stacks, and what is there has its place.
      for event in trace.events(.goBlock) + trace.events(.goCreate) {
        let frames = trace.frames(event.arguments.last ?? 0, in: event.generation)
        #expect(!frames.isEmpty)
        #expect(frames.allSatisfy { !$0.function.contains("ApusRuntime") && !$0.function.contains("apus_trace") })
      }
      let places = trace.events(.goCreate).flatMap { trace.frames($0.arguments[2], in: $0.generation) }
      #expect(places.contains { $0.file.hasSuffix("Examples/sieve/main.swift") && $0.line == 11 })
    }

    @Test(arguments: [1, 2, 8]) func tellsOfTheNetwork(processors: Int) throws {
      let traced = try runTraced("apus-traced", "network", processors: processors)
      #expect(traced.result.status == 0, "\(traced.result)")
      let trace = traced.trace
      let waits = trace.events(.goBlock).filter { trace.reason(of: $0) == "network" }
      #expect(
        waits.contains { event in trace.functions(of: event).contains { $0.hasPrefix("apus_traced.serve(") } })
      for event in waits { #expect(trace.functions(of: event).contains { $0.contains("ApusNet") }) }
    }

    @Test(arguments: [1, 2, 8]) func tellsOfSleepsInTheKernel(processors: Int) throws {
      for scenario in ["read-told", "read-untold"] {
        let traced = try runTraced("apus-traced", scenario, processors: processors)
        #expect(traced.result.output == "read 42\n", "\(traced.result)")
        let trace = traced.trace
        let reader = try #require(trace.goroutines(of: "readBesideOthers").first, "\(scenario)")
        let begun = trace.events(.goSyscallBegin).filter { $0.goroutine == reader }
        #expect(!begun.isEmpty, "\(scenario)")
        if scenario == "read-told" {
          #expect(
            begun.allSatisfy { event in trace.functions(of: event).contains { $0.hasPrefix("apus_traced.readTold(") } })
        } else {
          // Who has not said that it would sleep was not asked for its stack.
          #expect(begun.allSatisfy { $0.arguments[1] == 0 })
        }
        // Its processor went to others meanwhile; it came back, waited for another one, and ran.
        let stream = try #require(begun.first?.stream)
        let events = trace.events.filter { $0.stream == stream }
        let index = try #require(events.firstIndex { $0.kind == .goSyscallBegin && $0.goroutine == reader })
        let kinds = events[index...].prefix(5).map(\.kind)
        #expect(kinds == [.goSyscallBegin, .procStop, .goSyscallEndBlocked, .procStart, .goStart], "\(scenario)")
      }
    }

    @Test(arguments: [1, 2, 8]) func tellsOfPreemption(processors: Int) throws {
      let traced = try runTraced("apus-traced", "hogs", processors: processors)
      #expect(traced.result.status == 0, "\(traced.result)")
      let trace = traced.trace
      let stops = trace.events(.goStop).filter { trace.reason(of: $0) == "preempted" }
      let hogs = trace.goroutines(of: "apus_traced.computeBesideOthers()")
      #expect(hogs.count == 2 * processors + 1)
      #expect(!Set(stops.compactMap(\.goroutine)).isDisjoint(with: hogs), "\(stops.count)")
      let stacks = stops.map { trace.functions(of: $0) }
      #expect(stacks.contains { $0.contains { $0.hasPrefix("apus_traced.compute(until:)") } })
      // Nor is the way to where it stopped in it.
      #expect(!stacks.contains { $0.contains { $0.hasPrefix("stop_for_others") || $0.contains("preempt") } })
    }

    @Test(arguments: [1, 2, 8]) func toleratesThreadsThatAreNotTheRuntimes(processors: Int) throws {
      let traced = try runTraced("apus-traced", "foreign", processors: processors)
      #expect(traced.result.status == 0, "\(traced.result)")
      // Created in the eyes of the reader by whoever runs them first: without a stack.
      let trace = traced.trace
      let spawned = trace.events(.goCreate).filter { event in
        trace.functions(event.arguments[1], in: event.generation).contains { $0.contains("useFromThreads") }
      }
      #expect(spawned.count == 400)
      #expect(spawned.allSatisfy { $0.arguments[2] == 0 })
    }

    @Test(arguments: [1, 2, 8]) func toleratesTheRuntimeInRegions(processors: Int) throws {
      let traced = try runTraced("apus-traced", "in-region", processors: processors)
      #expect(traced.result.status == 0, "\(traced.result)")
      #expect(traced.trace.goroutines(of: "useTheRuntimeInRegions").count == 8 + 400)
    }

    @Test func tellsOfStoppedWorldsAndProcessors() throws {
      let traced = try runTraced("apus-traced", "procs", processors: 2)
      #expect(traced.result.status == 0, "\(traced.result)")
      let trace = traced.trace
      let counts = trace.events(.procsChange).map { $0.arguments[0] }
      #expect(counts == [2, 4, 1, 3, 2, 8, 1, 2])
      let stops = trace.events(.stopBegin)
      #expect(stops.prefix(7).allSatisfy { trace.reason(of: $0) == "GOMAXPROCS" && $0.goroutine == 1 })
      #expect(stops.count == trace.events(.stopEnd).count)
    }

    @Test(arguments: [1, 2, 8]) func eachGenerationSaysWhatEverybodyDoes(processors: Int) throws {
      let traced = try runTraced("apus-traced", "generations", processors: processors)
      #expect(traced.result.status == 0, "\(traced.result)")
      let trace = traced.trace
      #expect(trace.generations.count > 4)
      for generation in trace.generations {
        let events = trace.events.filter { $0.generation == generation }
        let told = events.filter { $0.kind == .goStatus }
        // Main, and the one that waits all the time.
        #expect(told.contains { $0.arguments[0] == 1 })
        #expect(
          told.contains { event in
            event.arguments[2] == 4 && trace.functions(of: event).contains { $0.hasPrefix("apus_traced.waitForEver(") }
          })
        #expect(Set(told.map { $0.arguments[0] }).count == told.count)
        #expect(events.filter { $0.kind == .procStatus }.count == processors)
        // Numbers begin anew.
        let starts = events.filter { $0.kind == .procStart }.map { $0.arguments[1] }
        if let least = starts.min() { #expect(least <= 2) }
      }
      #expect(trace.events(.goBlock).count > 10_000)
    }

    @Test(arguments: [
      ("twice", 0), ("within", 0), ("throws", 0), ("exit", 7), ("exit-elsewhere", 7), ("deadlock", 2), ("trap", 2),
      ("fork", 0),
    ])
    func isCompleteHoweverItEnds(scenario: String, status: Int) throws {
      let traced = try runTraced("apus-traced", scenario, processors: 2)
      #expect(traced.result.status == Int32(status), "\(traced.result)")
      #expect(traced.trace.events(.goStatus).contains { $0.arguments[0] == 1 })
      switch scenario {
      case "within":
        #expect(traced.result.output == "inner 100\n")
        #expect(traced.result.errors.contains(".inner: another trace is being written\n"), "\(traced.result)")
      case "throws": #expect(traced.result.output == "Failure()\n")
      case "fork": #expect(traced.result.output == "the child's status: 3\n")
      case "deadlock": #expect(traced.result.errors.contains("all goroutines are asleep"), "\(traced.result)")
      case "trap": #expect(traced.result.errors.contains("Index out of range"), "\(traced.result)")
      default: #expect(traced.result.errors.isEmpty, "\(traced.result)")
      }
    }

    @Test(arguments: ["sieve", "echo"]) func tracesWholeRuns(example: String) throws {
      for processors in [1, 2, 8] {
        let traced = try runTraced(example, processors: processors, byEnvironment: true)
        #expect(traced.result.status == 0, "\(traced.result)")
        #expect(traced.result.output == (try expectedOutput(ofExample: example)), "\(traced.result)")
        #expect(traced.result.errors.isEmpty, "\(traced.result)")
        let main = traced.trace.events(.goStatus).first { $0.arguments[0] == 1 }
        #expect(main?.arguments[2] == 2)
      }
    }

    @Test func aFileThatCannotBeWrittenIsReportedAndTheProgramRuns() throws {
      let missing = "/no/such/folder/trace"
      let byEnvironment = try run(product("hello"), environment: inheritedEnvironment(["APUS_TRACE": missing]))
      #expect(byEnvironment.status == 0, "\(byEnvironment)")
      #expect(byEnvironment.output == (try expectedOutput(ofExample: "hello")))
      let complaint = "apus: trace: \(missing): cannot be opened: no such file or directory\n"
      #expect(byEnvironment.errors == complaint, "\(byEnvironment)")
      let part = try run(product("apus-traced"), ["unwritable", missing])
      #expect(part.output == "value 100\n", "\(part)")
      #expect(part.errors == complaint, "\(part)")
      let full = try run(product("hello"), environment: inheritedEnvironment(["APUS_TRACE": "/dev/full"]))
      #expect(full.output == (try expectedOutput(ofExample: "hello")), "\(full)")
      #expect(full.errors == "apus: trace: the file: is not complete: no space left on device\n", "\(full)")
    }
  }
}
