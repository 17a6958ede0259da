/// A line of the boot trace.
package struct BootStep: Equatable, Sendable {
  package var ordinal: Int
  package var name: String
  /// When the step was done, in nanoseconds from the first instruction.
  package var time: Int64
  /// What the step found; "" for nothing.
  package var detail: String

  package init(ordinal: Int, name: String, time: Int64, detail: String) {
    (self.ordinal, self.name, self.time, self.detail) = (ordinal, name, time, detail)
  }

  /// Nil for a line that is the program's own: ordinal, name, time and `ns` is what a line of the trace begins with.
  package init?(_ line: Substring) {
    var rest = line.drop { $0 == " " }
    func take() -> Substring {
      let word = rest.prefix { $0 != " " }
      rest = rest.dropFirst(word.count).drop { $0 == " " }
      return word
    }
    let (ordinal, name, time, unit) = (take(), take(), take(), take())
    guard unit == "ns", !name.isEmpty, let ordinal = Int(ordinal), let time = Int64(time), time >= 0 else { return nil }
    self.init(ordinal: ordinal, name: String(name), time: time, detail: String(rest))
  }
}
