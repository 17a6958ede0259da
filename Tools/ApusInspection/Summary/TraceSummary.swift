/// The figures of a trace.
package struct TraceSummary {
  /// The goroutines that were started with one function.
  package struct Group {
    package var function: String
    package var count = 0
    /// Nanoseconds, of all of them together.
    package var running: Int64 = 0
    package var runnable: Int64 = 0
    package var syscall: Int64 = 0
    package var blocked: Int64 = 0
    /// Nanoseconds blocked, by reason.
    package var reasons: [String: Int64] = [:]
  }

  /// The tasks or regions of one name.
  package struct Named: Equatable {
    package var name: String
    package var count = 0
    /// Nanoseconds.
    package var total: Int64 = 0
    package var longest: Int64 = 0

    fileprivate mutating func add(_ length: Int64) {
      count += 1
      total += length
      longest = max(longest, length)
    }
  }

  package struct Processor {
    package var id: UInt64
    /// Nanoseconds for which it had a goroutine.
    package var busy: Int64
    package var preemptions: Int
  }

  package private(set) var duration: Int64
  package private(set) var eventCount: Int
  package private(set) var goroutineCount: Int
  /// Those that ran for longest come first.
  package private(set) var groups: [Group]
  package private(set) var processors: [Processor]
  package private(set) var stops: (count: Int, longest: Int64)
  package private(set) var collections: (count: Int, total: Int64)
  /// Those that took longest come first.
  package private(set) var tasks: [Named]
  package private(set) var regions: [Named]
  /// How often the program has said something, by category.
  package private(set) var logs: [(category: String, count: Int)]
  /// How long goroutines that could run had to wait until they did, in order.
  private let latencies: [Int64]

  package init(_ timeline: Timeline) {
    duration = timeline.duration
    eventCount = timeline.eventCount
    goroutineCount = timeline.goroutines.count
    var groups: [Int32: Group] = [:]
    var latencies: [Int64] = []
    for goroutine in timeline.goroutines {
      Self.add(goroutine, timeline, to: &groups[goroutine.function, default: Group(function: "")])
      for (span, next) in zip(goroutine.spans, goroutine.spans.dropFirst())
      where span.activity == .runnable && next.activity == .running {
        latencies.append(span.length)
      }
    }
    self.groups = groups.map { number, group in
      var group = group
      let text = timeline.texts[Int(number)]
      group.function = text.isEmpty ? "(unknown)" : text
      return group
    }.sorted { ($1.running, $1.count, $0.function) < ($0.running, $0.count, $1.function) }
    self.latencies = latencies.sorted()
    let preemptions = timeline.preemptions.reduce(into: [UInt64: Int]()) { $0[$1.processor, default: 0] += 1 }
    processors = timeline.processors.map { processor in
      Processor(
        id: processor.id, busy: processor.runs.reduce(0) { $0 + $1.end - $1.start },
        preemptions: preemptions[processor.id] ?? 0)
    }
    let stopped = timeline.phases.filter { $0.kind == .stopTheWorld }.map { $0.end - $0.start }
    stops = (stopped.count, stopped.max() ?? 0)
    let collected = timeline.phases.filter { $0.kind == .collection }.map { $0.end - $0.start }
    collections = (collected.count, collected.reduce(0, +))
    tasks = Self.named(timeline.tasks.map { ($0.name, $0.end - $0.start) }, timeline)
    regions = Self.named(timeline.regions.map { ($0.name, $0.end - $0.start) }, timeline)
    let categories = timeline.logs.reduce(into: [Int32: Int]()) { $0[$1.category, default: 0] += 1 }
    logs = categories.map { (timeline.texts[Int($0)], $1) }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }
  }

  private static func named(_ items: [(name: Int32, length: Int64)], _ timeline: Timeline) -> [Named] {
    var found: [Int32: Named] = [:]
    for item in items {
      found[item.name, default: Named(name: timeline.texts[Int(item.name)])].add(item.length)
    }
    return found.values.sorted { ($1.total, $0.name) < ($0.total, $1.name) }
  }

  private static func add(_ goroutine: Timeline.Goroutine, _ timeline: Timeline, to group: inout Group) {
    group.count += 1
    for span in goroutine.spans {
      switch span.activity {
      case .running: group.running += span.length
      case .runnable: group.runnable += span.length
      case .syscall: group.syscall += span.length
      case .blocked:
        group.blocked += span.length
        group.reasons[timeline.texts[Int(span.reason)], default: 0] += span.length
      }
    }
  }

  /// How many times goroutines became runnable and then ran.
  package var startCount: Int { latencies.count }

  /// How many goroutines were stopped that ran for too long.
  package var preemptionCount: Int { processors.reduce(0) { $0 + $1.preemptions } }

  /// The time in nanoseconds within which the `share` of goroutines that could run did run; nil where none did.
  /// - Parameter share: From 0 to 1.
  package func latency(_ share: Double) -> Int64? {
    latencies.isEmpty ? nil : latencies[min(Int(Double(latencies.count) * share), latencies.count - 1)]
  }
}
