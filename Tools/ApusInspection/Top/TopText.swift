import Foundation

extension RuntimeFigures {
  /// The figures for a terminal.
  /// - Parameters:
  ///   - before: Earlier ones of the same program: how fast figures grow is counted from there. Without them it is told how
  ///     far they have grown.
  ///   - limit: How many groups of goroutines are shown; nil for all.
  package func text(since before: RuntimeFigures?, limit: Int?) -> String {
    var text = "\(groups.reduce(0) { $0 + $1.count }) goroutines"
    if !states.isEmpty { text += ": " + states.map { "\($0.count) \($0.state)" }.joined(separator: ", ") }
    let idle = processors.count { $0.state == "idle" }
    text += "\n\(processors.count) processors, \(idle) idle; \(self["threads"]) threads, \(self["idle threads"]) idle"
    text += ", \(self["preempted threads"]) stopped; \(self["global queue"]) goroutines in the global queue\n"
    let kinds = [
      ("preemptions", "preemptions"), ("steals", "steals"), ("handoffs", "handoffs"),
      ("processors taken from sleepers", "untold blocks"), ("from calls", "syscall retakes"),
    ]
    text += kinds.map { "\($0.0) \(growth(of: self[$0.1], since: before?[$0.1], before))" }.joined(separator: ", ")
    text += "\n\(latencyText(before))\n"
    text += "the world was stopped for \(durationText(self["worst stop"])) at most until it stood\n\n"
    return text + processorText(before) + "\n" + groupText(limit)
  }

  /// Of a range of durations only its end is known.
  private func latencyText(_ before: RuntimeFigures?) -> String {
    let latencies = before.map { self.latencies.since($0.latencies) } ?? self.latencies
    let shares = [("50 %", 0.5), ("99 %", 0.99), ("all", 1)]
    let parts = shares.compactMap { name, share in
      latencies.quantile(share).map { "\(name) < \(durationText($0))" }
    }
    let text = parts.isEmpty ? "" : ": " + parts.joined(separator: ", ")
    return "scheduling latency, \(latencies.total) samples" + text
  }

  private func growth(of number: Int64, since old: Int64?, _ before: RuntimeFigures?) -> String {
    guard let old, let before, time > before.time else { return "\(number)" }
    return String(format: "%.0f/s", Double(number - old) / (Double(time - before.time) / 1e9))
  }

  private func processorText(_ before: RuntimeFigures?) -> String {
    var table = TextTable(["Processor", "state", "queued", "switches", "goroutine"], left: [0, 1])
    for processor in processors {
      let old = before?.processors.first { $0.id == processor.id }?.switches
      table.add(
        [
          "P\(processor.id)", processor.state, "\(processor.queued)",
          growth(of: processor.switches, since: old, before),
          processor.goroutine == 0 ? "-" : "\(processor.goroutine)",
        ])
    }
    return table.text
  }

  private func groupText(_ limit: Int?) -> String {
    var table = TextTable(["count", "State", "Created by", "at"], left: [1, 2, 3])
    let shown = groups.prefix(limit ?? groups.count)
    for group in shown { table.add(["\(group.count)", group.state, group.function, group.place]) }
    let more = groups.count - shown.count
    return table.text + (more > 0 ? "… and \(more) more kinds (--all shows them)\n" : "")
  }
}
