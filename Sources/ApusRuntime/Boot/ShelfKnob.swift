/// The variable about stacks that are kept elsewhere.
extension Knobs {
  /// The bounds of APUS_SHELVE and of the call that does the same, in nanoseconds: a millisecond and a day.
  package static var shortestShelving: Int64 { 1_000_000 }
  package static var longestShelving: Int64 { 86_400_000_000_000 }

  /// A whole number followed by ms, s, m or h; or "off".
  mutating func parseShelving(_ text: ByteText, _ report: (ByteText) -> Void) {
    if text.equals("off") {
      shelving = 0
      return
    }
    let units: [4 of (name: StaticString, nanoseconds: UInt64)] = [
      ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]
    for index in units.indices {
      let name = ByteText(units[index].name)
      let length = text.count - name.count
      guard length > 0, text.dropFirst(length).equals(name), let number = text.prefix(length).decimal else { continue }
      let (time, overflows) = number.multipliedReportingOverflow(by: units[index].nanoseconds)
      if overflows || time < UInt64(Self.shortestShelving) || time > UInt64(Self.longestShelving) { break }
      shelving = Int64(time)
      return
    }
    BootMessage.compose(
      { message in
        message.add("APUS_SHELVE=\"")
        message.add(value: text)
        message.add(
          "\" is neither \"off\" nor a time from 1ms to 24h (a whole number followed by ms, s, m or h); ignored")
      }, to: report)
  }
}
