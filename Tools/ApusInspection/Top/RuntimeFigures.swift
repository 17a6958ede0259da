/// What a running program tells of its scheduler: the answer to a request for figures, taken apart.
package struct RuntimeFigures: Equatable, Sendable {
  package struct Processor: Equatable, Sendable {
    package var id: Int
    package var state: String
    /// Goroutines in its own queue.
    package var queued: Int
    /// How often a goroutine began or went on there.
    package var switches: Int64
    /// The one that it runs; 0 for none.
    package var goroutine: Int64
  }

  /// Goroutines in one state that were created at one place.
  package struct Group: Equatable, Sendable {
    package var count: Int
    package var state: String
    package var function: String
    /// `File.swift:12`; "" where nothing is known.
    package var place = ""
  }

  /// Nanoseconds on a clock of the program's.
  package private(set) var time: Int64 = 0
  package private(set) var processors: [Processor] = []
  /// The largest first.
  package private(set) var groups: [Group] = []
  private var figures: [String: Int64] = [:]
  /// How long goroutines were ready before they ran, sampled.
  package private(set) var latencies = Latencies()

  /// The figure called `name`; 0 where it was not told.
  package subscript(name: String) -> Int64 { figures[name] ?? 0 }

  /// How many goroutines there are in each state, the most frequent first.
  package var states: [(state: String, count: Int)] {
    var counts: [String: Int] = [:]
    for group in groups { counts[group.state, default: 0] += group.count }
    return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }

  /// Lines of kinds that are not known, or that are broken, are left out: a newer program may tell more.
  package init(_ text: String) {
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      switch (fields[0], fields.count) {
      case ("time", 2): time = Int64(fields[1]) ?? 0
      case ("figure", 3): figures[fields[1]] = Int64(fields[2])
      case ("latency", 3):
        if let end = Int64(fields[1]), let count = Int64(fields[2]) { latencies.counts[end, default: 0] += count }
      case ("processor", 6):
        guard let id = Int(fields[1]), let queued = Int(fields[3]), let switches = Int64(fields[4]),
          let goroutine = Int64(fields[5])
        else { continue }
        processors.append(
          Processor(id: id, state: fields[2], queued: queued, switches: switches, goroutine: goroutine))
      case ("goroutines", 4):
        guard let count = Int(fields[1]) else { continue }
        groups.append(Group(count: count, state: fields[2], function: fields[3]))
      case ("", 2) where !groups.isEmpty:
        // The path and the distance from the function's beginning are too much for a table.
        let place = fields[1].prefix { $0 != " " }
        groups[groups.count - 1].place = String(place.split(separator: "/").last ?? "")
      default: continue
      }
    }
    groups = Self.merged(groups)
  }

  /// Two places in a function may lie in one line.
  private static func merged(_ groups: [Group]) -> [Group] {
    var counts: [[String]: Int] = [:]
    for group in groups { counts[[group.state, group.function, group.place], default: 0] += group.count }
    return counts.map { Group(count: $0.value, state: $0.key[0], function: $0.key[1], place: $0.key[2]) }
      .sorted { ($1.count, $0.state, $0.function, $0.place) < ($0.count, $1.state, $1.function, $1.place) }
  }
}
