import CApus

/// How much memory the process has.
enum ResidentMemory {
  /// The bytes of its pages that are in memory, code of libraries included; 0 where /proc is not mounted. Some microseconds.
  static func bytes() -> Int {
    withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { buffer in
      let length = SmallFile.readOnce("/proc/self/statm" as StaticString, into: buffer)
      if length <= 0 { return 0 }
      var text = ByteText(UnsafeRawBufferPointer(rebasing: buffer.prefix(length)))
      _ = text.takeField(before: UInt8(ascii: " "))
      guard let pages = text.takeField(before: UInt8(ascii: " "))?.decimal else { return 0 }
      return Int(pages) * sched.pointee.facts.pageSize
    }
  }
}
