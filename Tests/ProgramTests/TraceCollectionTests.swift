import Testing

extension Programs.Traces {
  @Test(arguments: [1, 2, 8]) func tellsOfCollections(processors: Int) throws {
    let traced = try runTraced("apus-traced", "collections", processors: processors)
    #expect(traced.result.status == 0, "\(traced.result)")
    let trace = traced.trace
    checkCycles(trace)
    checkAssists(trace)
    checkSweeps(trace)
    #expect(!trace.events(.gcActive).isEmpty)
    // Goroutines of the runtime are named after what they do, not after what they call, or how they were stopped.
    let told = Set(trace.events(.goStatus).compactMap { trace.functions(of: $0).last })
    #expect(told.contains { $0.contains("ApusRuntime.") }, "\(told)")
    #expect(!told.contains { $0.hasPrefix("with") || $0.hasPrefix("apus_preempt") }, "\(told)")
    // What has to be destroyed first, as all in lru, is not free at once.
    #expect(trace.events(.sweepEnd).contains { $0.arguments[1] > 0 })
    for event in trace.events(.gcBegin) {
      let functions = trace.functions(of: event)
      #expect(!functions.isEmpty && functions.allSatisfy { !$0.contains("ApusRuntime") }, "\(functions)")
    }
    let stops = Set(trace.events(.stopBegin).map { trace.reason(of: $0) })
    #expect(stops.isSuperset(of: ["GC sweep termination", "GC mark termination", "GC controller"]), "\(stops)")
    // The goal was lowered by hand.
    #expect(Set(trace.events(.heapGoal).map { $0.arguments[0] }).count > 2)
    #expect(trace.events(.heapAlloc).contains { $0.arguments[0] > 12 << 20 })
    if let parsed = traced.parsed {
      for name in ["GC concurrent mark phase", "GC incremental sweep", "GC mark assist"] {
        let isThere = parsed.output.contains("Name=\"\(name)\"")
        #expect(isThere, "\(name)")
      }
      let hasGoal = parsed.output.contains("/gc/heap/goal:bytes")
      #expect(hasGoal)
    }
  }

  @Test(arguments: ["graph", "lru"]) func tracesWholeRunsOfHeapPrograms(example: String) throws {
    for processors in [1, 2, 8] {
      // By default lru's one collection begins so shortly before its end that not every run has all of it.
      let traced = try runTraced(
        example, processors: processors, byEnvironment: true, environment: ["GOGC": "20"])
      #expect(traced.result.status == 0, "\(traced.result)")
      #expect(traced.result.output == (try expectedOutput(ofExample: example)), "\(traced.result)")
      checkCycles(traced.trace)
      checkAssists(traced.trace)
      checkSweeps(traced.trace)
      #expect(traced.trace.events(.gcEnd).count > 0)
    }
  }
}

/// Cycles follow each other, by their numbers, and each generation that begins in the midst of one says so.
private func checkCycles(_ trace: TraceReader) {
  let events = (trace.events(.gcActive) + trace.events(.gcBegin) + trace.events(.gcEnd)).sorted {
    $0.arguments[0] < $1.arguments[0]
  }
  let told = Set(trace.events(.gcActive).map(\.generation))
  let first = events.first?.arguments[0] ?? 0
  #expect(events.map { $0.arguments[0] } == Array(first..<first + UInt64(events.count)))
  var isOn: Bool?
  var generation = trace.generations[0]
  for event in events {
    for begun in generation..<event.generation {
      let isTold = told.contains(begun + 1)
      #expect(isTold == (isOn ?? isTold), "generation \(begun + 1)")
    }
    generation = event.generation
    switch event.kind {
    case .gcBegin: #expect(isOn != true)
    case .gcEnd: #expect(isOn == true)
    // At its beginning.
    default: #expect(isOn ?? (generation == trace.generations[0]))
    }
    isOn = event.kind != .gcEnd
  }
}

/// A goroutine begins to help and ends, in turn; if a generation begins meanwhile, that is said.
private func checkAssists(_ trace: TraceReader) {
  var helping: [UInt64: UInt64] = [:]
  let kinds: [TraceReader.Kind] = [.assistBegin, .assistActive, .assistEnd, .goDestroy]
  for event in trace.events where kinds.contains(event.kind) {
    let goroutine = event.kind == .assistActive ? event.arguments[0] : event.goroutine ?? 0
    let since = helping[goroutine]
    switch event.kind {
    case .assistBegin:
      #expect(since == nil)
      helping[goroutine] = event.generation
    case .assistActive:
      #expect(since == event.generation - 1)
      helping[goroutine] = event.generation
    case .assistEnd:
      #expect(since == event.generation, "goroutine \(goroutine)")
      helping[goroutine] = nil
    default: helping[goroutine] = nil
    }
  }
}

/// What a thread sweeps, it sweeps in one go.
private func checkSweeps(_ trace: TraceReader) {
  let sweeps = trace.events.filter { $0.kind == .sweepBegin || $0.kind == .sweepEnd }
  for (stream, events) in Dictionary(grouping: sweeps, by: \.stream) {
    for pair in stride(from: 0, to: events.count - 1, by: 2) {
      #expect(events[pair].kind == .sweepBegin && events[pair + 1].kind == .sweepEnd, "thread \(stream)")
      #expect(events[pair].generation == events[pair + 1].generation)
    }
    #expect(events.count.isMultiple(of: 2))
  }
  let ends = sweeps.filter { $0.kind == .sweepEnd }
  #expect(ends.allSatisfy { $0.arguments[0] > 0 && $0.arguments[1] <= $0.arguments[0] })
}
