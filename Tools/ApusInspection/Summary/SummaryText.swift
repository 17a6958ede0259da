extension TraceSummary {
  /// The summary for a terminal.
  /// - Parameter limit: How many functions are shown; nil for all.
  package func text(limit: Int? = 20) -> String {
    var text = "\(durationText(duration)), \(eventCount) events, \(goroutineCount) goroutines, "
    text += "\(processors.count) processors, \(preemptionCount) preemptions\n"
    if stops.count > 0 {
      text += "the world was stopped \(stops.count) times, for \(durationText(stops.longest)) at most\n"
    }
    if collections.count > 0 { text += "\(collections.count) collections, \(durationText(collections.total)) in all\n" }
    return text + "\n" + latencyText + "\n" + processorText + "\n" + groupText(limit) + "\n" + reasonText(limit)
      + namedText("Task", tasks, limit) + namedText("Region", regions, limit) + logText(limit)
  }

  private var latencyText: String {
    guard let longest = latency(1) else { return "Scheduling latency: no goroutine had to be scheduled\n" }
    let shares = [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")]
    let parts = shares.map { "\($1) \(durationText(latency($0) ?? 0))" } + ["max \(durationText(longest))"]
    return "Scheduling latency (runnable until running, \(startCount) times): \(parts.joined(separator: ", "))\n"
  }

  private var processorText: String {
    var table = TextTable(["Processor", "busy", "utilisation", "preemptions"], left: [0])
    for processor in processors {
      table.add(
        [
          "P\(processor.id)", durationText(processor.busy), shareText(processor.busy, of: duration),
          "\(processor.preemptions)",
        ])
    }
    return table.text
  }

  private func groupText(_ limit: Int?) -> String {
    var table = TextTable(["count", "running", "runnable", "syscall", "blocked", "Goroutines by function"], left: [5])
    let shown = groups.prefix(limit ?? groups.count)
    for group in shown {
      let times = [group.running, group.runnable, group.syscall, group.blocked]
      table.add(["\(group.count)"] + times.map(durationText) + [group.function])
    }
    let more = groups.count - shown.count
    return table.text + (more > 0 ? "… and \(more) more functions (--all shows them)\n" : "")
  }

  private func namedText(_ title: String, _ items: [Named], _ limit: Int?) -> String {
    if items.isEmpty { return "" }
    var table = TextTable(["count", "total", "longest", title], left: [3])
    for item in items.prefix(limit ?? items.count) {
      table.add(["\(item.count)", durationText(item.total), durationText(item.longest), item.name])
    }
    return "\n" + table.text
  }

  private func logText(_ limit: Int?) -> String {
    if logs.isEmpty { return "" }
    var table = TextTable(["count", "Messages by category"], left: [1])
    for log in logs.prefix(limit ?? logs.count) {
      table.add(["\(log.count)", log.category.isEmpty ? "(none)" : log.category])
    }
    return "\n" + table.text
  }

  private func reasonText(_ limit: Int?) -> String {
    var rows: [(time: Int64, reason: String, function: String)] = []
    for group in groups {
      for (reason, time) in group.reasons {
        rows.append((time, reason.isEmpty ? "(since before the trace)" : reason, group.function))
      }
    }
    rows.sort { ($1.time, $0.reason, $0.function) < ($0.time, $1.reason, $1.function) }
    var table = TextTable(["blocked", "Reason", "Function"], left: [1, 2])
    for row in rows.prefix(limit ?? rows.count) { table.add([durationText(row.time), row.reason, row.function]) }
    return rows.isEmpty ? "No goroutine was blocked.\n" : table.text
  }
}
