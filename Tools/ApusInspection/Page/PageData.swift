/// The timeline as the page's script reads it: JSON, with numbers for everything that comes more than once.
struct PageData {
  /// The most items that all lanes of a kind have, and the most goroutines that have a lane.
  private static let itemLimit = 150_000
  private static let laneLimit = 2000
  /// The most tasks, regions and messages.
  private static let markLimit = 50_000

  private(set) var json = ""

  init(_ timeline: Timeline, title: String, summary: TraceSummary) {
    let (runs, runResolution) = LaneDetail.reduce(
      timeline.processors.map { processor in
        processor.runs.map { LaneItem(start: $0.start, end: $0.end, what: $0.goroutine, busy: $0.end - $0.start) }
      }, to: Self.itemLimit)
    // Of very many goroutines those that do most.
    let places = timeline.goroutines.indices.sorted {
      (timeline.goroutines[$1].spans.count, $0) < (timeline.goroutines[$0].spans.count, $1)
    }.prefix(Self.laneLimit).sorted { timeline.goroutines[$0].id < timeline.goroutines[$1].id }
    let (spans, spanResolution) = LaneDetail.reduce(
      places.map { place in
        timeline.goroutines[place].spans.map {
          LaneItem(
            start: $0.start, end: $0.end, what: Int32($0.activity.rawValue), busy: $0.length, reason: $0.reason,
            stack: $0.stack)
        }
      }, to: Self.itemLimit)
    let latency = [0.5, 0.9, 0.99, 1].map { "\(summary.latency($0) ?? 0)" }.joined(separator: ",")
    let used = Self.usedGoroutines(runs, places)
    json = """
      {"title":\(Self.quote(title)),"duration":\(timeline.duration),"events":\(timeline.eventCount),\
      "goroutineCount":\(timeline.goroutines.count),"latency":[\(latency)],\
      "resolution":\(max(runResolution, spanResolution)),\
      "texts":[\(timeline.texts.map(Self.quote).joined(separator: ","))],\
      "stacks":[\(timeline.stacks.map(Self.text).joined(separator: ","))],\
      "goroutines":{\(used.map { Self.text(timeline.goroutines[$0], at: $0) }.joined(separator: ","))},\
      "processors":[\(zip(timeline.processors, runs).map { Self.text($0, $1) }.joined(separator: ","))],\
      "lanes":[\(zip(places, spans).map { Self.text($0, $1) }.joined(separator: ","))],\
      "phases":[\(timeline.phases.map { "[\($0.start),\($0.end),\(Self.quote($0.kind.rawValue))]" }.joined(separator: ","))],\
      "tasks":[\(timeline.tasks.prefix(Self.markLimit).map(Self.text).joined(separator: ","))],\
      "regions":[\(timeline.regions.prefix(Self.markLimit).map(Self.text).joined(separator: ","))],\
      "logs":[\(timeline.logs.prefix(Self.markLimit).map(Self.text).joined(separator: ","))],\
      "preemptions":[\(timeline.preemptions.prefix(Self.itemLimit).map { "[\($0.processor),\($0.time)]" }.joined(separator: ","))]}
      """
  }

  /// The goroutines that the lanes name.
  private static func usedGoroutines(_ runs: [[LaneItem]], _ places: [Int]) -> [Int] {
    var used = Set(places)
    for lane in runs {
      for item in lane where item.what >= 0 { used.insert(Int(item.what)) }
    }
    return used.sorted()
  }

  private static func text(_ goroutine: Timeline.Goroutine, at place: Int) -> String {
    let creator = goroutine.creator.map(String.init) ?? "0"
    return "\"\(place)\":[\(goroutine.id),\(goroutine.function),\(creator),\(goroutine.createdAt)]"
  }

  private static func text(_ processor: Timeline.Processor, _ items: [LaneItem]) -> String {
    "{\"id\":\(processor.id),\"items\":[\(text(items))]}"
  }

  private static func text(_ place: Int, _ items: [LaneItem]) -> String {
    "{\"goroutine\":\(place),\"items\":[\(text(items))]}"
  }

  private static func text(_ task: Timeline.Task) -> String {
    "[\(task.id),\(task.parent),\(task.name),\(task.start),\(task.end)]"
  }

  private static func text(_ region: Timeline.Region) -> String {
    "[\(region.goroutine),\(region.task),\(region.name),\(region.start),\(region.end)]"
  }

  private static func text(_ log: Timeline.Log) -> String {
    "[\(log.goroutine),\(log.time),\(log.category),\(log.message)]"
  }

  /// Seven numbers each; a time is what has passed since the one before.
  private static func text(_ items: [LaneItem]) -> String {
    var text = ""
    var time: Int64 = 0
    for item in items {
      if !text.isEmpty { text += "," }
      text += "\(item.start - time),\(item.end - item.start),\(item.what),\(item.count),\(item.busy),"
      text += "\(item.reason),\(item.stack)"
      time = item.start
    }
    return text
  }

  private static func text(_ stack: [TraceFrame]) -> String {
    "[" + stack.map { quote("\($0.function)\n    \($0.file):\($0.line)") }.joined(separator: ",") + "]"
  }

  /// Such that the text can stand in a script of a page.
  private static func quote(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case "\n": quoted += "\\n"
      case "<", ">", "&", "\u{2028}", "\u{2029}": quoted += escape(scalar)
      case _ where scalar.value < 0x20: quoted += escape(scalar)
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  private static func escape(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}
