/// The sections of an image's file that hold its debug information. One that the image does not have is empty.
struct DebugSections {
  var info = UnsafeRawBufferPointer(start: nil, count: 0)
  var abbreviations = UnsafeRawBufferPointer(start: nil, count: 0)
  var lines = UnsafeRawBufferPointer(start: nil, count: 0)
  var strings = UnsafeRawBufferPointer(start: nil, count: 0)
  var lineStrings = UnsafeRawBufferPointer(start: nil, count: 0)
  var stringOffsets = UnsafeRawBufferPointer(start: nil, count: 0)
  var addresses = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Of units up to DWARF 4, and from DWARF 5 on.
  var ranges = UnsafeRawBufferPointer(start: nil, count: 0)
  var rangeLists = UnsafeRawBufferPointer(start: nil, count: 0)

  init() {}

  /// Takes `content` if the section called `name` is one of these.
  mutating func take(_ name: ByteText, _ content: UnsafeRawBufferPointer) {
    guard name.count > 7, name.prefix(7).equals(".debug_") else { return }
    let rest = name.dropFirst(7)
    if rest.equals("info") {
      info = content
    } else if rest.equals("abbrev") {
      abbreviations = content
    } else if rest.equals("line") {
      lines = content
    } else if rest.equals("str") {
      strings = content
    } else if rest.equals("line_str") {
      lineStrings = content
    } else if rest.equals("str_offsets") {
      stringOffsets = content
    } else if rest.equals("addr") {
      addresses = content
    } else if rest.equals("ranges") {
      ranges = content
    } else if rest.equals("rnglists") {
      rangeLists = content
    }
  }
}
