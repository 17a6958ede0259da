/// How many threads the process has.
enum ThreadCensus {
  /// The kernel's count, at one moment; nil where /proc is not mounted. Some 20 microseconds.
  static func count() -> Int64? {
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { buffer in
      let length = SmallFile.readOnce("/proc/self/stat" as StaticString, into: buffer)
      if length <= 0 { return nil }
      return parse(UnsafeRawBufferPointer(rebasing: buffer.prefix(length)))
    }
  }

  /// The field num_threads of a `/proc/PID/stat` (proc_pid_stat(5)): the eighteenth after the command, which stands in
  /// parentheses and may contain anything.
  static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
    guard let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    var field = 0
    var number: Int64?
    for byte in text[(end + 1)...] {
      if byte == UInt8(ascii: " ") {
        if field == 18 { return number }
        field += 1
      } else if field == 18 {
        guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        number = (number ?? 0) * 10 + Int64(byte - UInt8(ascii: "0"))
      }
    }
    return nil
  }
}
