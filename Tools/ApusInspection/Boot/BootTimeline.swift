/// Draws the boot trace for a terminal: a line for each step, and in it a bar from the end of the step before to its own.
package enum BootTimeline {
  private static let narrowest = 60

  /// - Parameters:
  ///   - columns: How wide the terminal is; at least 60 are used.
  package static func text(_ steps: [BootStep], columns: Int) -> String {
    guard let last = steps.last else { return "" }
    let columns = max(columns, narrowest)
    let nameWidth = steps.map(\.name.count).max() ?? 0
    let barWidth = max(min((columns - nameWidth) / 2, 60), 10)
    let total = max(last.time, 1)
    var text = "start-up: \(steps.count) steps in \(durationText(last.time))\n"
    var before: Int64 = 0
    for step in steps {
      // The clock of what precedes the first line that could be printed may differ by some nanoseconds.
      let end = max(step.time, before)
      let took = durationText(end - before)
      let name = step.name + String(repeating: " ", count: nameWidth - step.name.count)
      let line =
        "\(name) \(bar(before, end, of: total, width: barWidth)) \(String(repeating: " ", count: max(8 - took.count, 0)))\(took)"
      text += line
      let space = columns - line.count - 2
      if space > 8 && !step.detail.isEmpty {
        text += "  " + (step.detail.count > space ? step.detail.prefix(space - 1) + "…" : step.detail[...])
      }
      text += "\n"
      before = end
    }
    return text
  }

  private static func bar(_ start: Int64, _ end: Int64, of total: Int64, width: Int) -> String {
    // In eighths of a column, for which there are characters; the beginning is rounded to a column.
    let scale = Double(width) / Double(total)
    let first = min(Int(Double(start) * scale), width - 1)
    let eighths = Int(((Double(end) * scale - Double(first)) * 8).rounded())
    let full = min(max(eighths / 8, 0), width - first)
    let part = full < width - first ? max(eighths - full * 8, full == 0 ? 1 : 0) : 0
    var bar = String(repeating: " ", count: first) + String(repeating: "█", count: full)
    if part > 0 { bar.unicodeScalars.append(Unicode.Scalar(UInt32(0x2590 - min(part, 7))) ?? " ") }
    return bar + String(repeating: " ", count: width - bar.count)
  }
}
