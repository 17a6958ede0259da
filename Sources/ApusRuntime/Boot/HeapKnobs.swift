/// The variables about the managed heap.
extension Knobs {
  mutating func parsePercent(_ text: ByteText, _ report: (ByteText) -> Void) {
    if text.equals("off") {
      gcPercent = -1
    } else if let number = text.decimal, number <= UInt64(Int32.max) {
      gcPercent = Int(number)
    } else {
      BootMessage.compose(
        { message in
          message.add("GOGC=\"")
          message.add(value: text)
          message.add("\" is neither \"off\" nor a whole number from 0 to ")
          message.add(UInt64(Int32.max))
          message.add("; ignored")
        }, to: report)
    }
  }

  /// Go's form: a number of bytes, or one followed by B, KiB, MiB, GiB or TiB; or "off".
  mutating func parseMemoryLimit(_ text: ByteText, _ report: (ByteText) -> Void) {
    if text.equals("off") {
      memoryLimit = Int.max
      return
    }
    let units: [5 of (name: StaticString, shift: UInt64)] = [
      ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0),
    ]
    var number = text
    var shift: UInt64 = 0
    for index in units.indices {
      let name = ByteText(units[index].name)
      if text.count > name.count && text.dropFirst(text.count - name.count).equals(name) {
        number = text.prefix(text.count - name.count)
        shift = units[index].shift
        break
      }
    }
    if let value = number.decimal, value <= UInt64(Int.max) >> shift {
      memoryLimit = Int(value << shift)
      return
    }
    BootMessage.compose(
      { message in
        message.add("GOMEMLIMIT=\"")
        message.add(value: text)
        message.add("\" is neither \"off\" nor a size ")
        message.add("(a number of bytes, or one followed by B, KiB, MiB, GiB or TiB); ignored")
      }, to: report)
  }
}
