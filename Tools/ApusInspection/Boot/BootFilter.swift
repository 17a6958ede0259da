/// Takes the boot trace out of what a program writes to its standard error, draws it, and hands the rest on.
package struct BootFilter {
  private let columns: Int
  private var steps: [BootStep] = []
  private var isDrawn = false
  /// What stands at the beginning of a line that has not ended.
  private var pending: [UInt8] = []

  /// - Parameter columns: How wide the terminal is.
  package init(columns: Int) { self.columns = columns }

  /// Whether there was a boot trace.
  package var hasTrace: Bool { !steps.isEmpty }

  /// What is to be written when the program has written `bytes`. A line that has not ended is kept only while it may be one
  /// of the trace.
  package mutating func add(_ bytes: [UInt8]) -> [UInt8] {
    pending += bytes
    var output: [UInt8] = []
    while let end = pending.firstIndex(of: 0x0A) {
      let line = Array(pending[...end])
      pending.removeSubrange(...end)
      output += handle(line)
    }
    if let first = pending.first(where: { $0 != 0x20 }), !(0x30...0x39).contains(first) {
      output += pending
      pending = []
    }
    return output
  }

  /// What is to be written when the program has ended.
  package mutating func end() -> [UInt8] {
    defer { pending = [] }
    return draw() + pending
  }

  private mutating func handle(_ line: [UInt8]) -> [UInt8] {
    let text = String(decoding: line.dropLast(), as: UTF8.self)
    guard let step = BootStep(text[...]), step.ordinal == steps.count + 1 else { return line }
    steps.append(step)
    // Behind it comes what the program does; and one more line when it ends by itself, which is no part of its start.
    return step.name == "main_main" ? draw() : []
  }

  private mutating func draw() -> [UInt8] {
    if isDrawn { return [] }
    isDrawn = true
    return Array(BootTimeline.text(steps, columns: columns).utf8)
  }
}
