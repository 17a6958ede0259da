import CApus

/// `GODEBUG=inittrace=1`: a line for each function that was registered for the start (`StartHooks`), when it has run.
///
///     init closure #1 in early.Early.initialize() @1.2 ms, 0.035 ms clock
///
/// The function, when it began after the runtime's start, and how long it took. Go's form, but for the bytes and the
/// allocations behind it: those are malloc's here, which does not tell.
enum InitTrace {
  /// Nanoseconds, where lines are wanted; nil elsewhere.
  static func now() -> Int64? { sched.pointee.knobs.inittrace == 0 ? nil : Clock.nanotime() }

  /// Tells of the function that begins at `entry` and has run from `start`, of `now`, until this moment.
  static func write(_ entry: UInt, from start: Int64?) {
    guard let start else { return }
    let end = Clock.nanotime()
    var lookup = FrameLookup()
    defer { lookup.close() }
    let name = lookup.lines(at: entry).last?.function.name ?? "?"
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { memory in
      var line = BoundedText(memory)
      line.add("init ")
      for byte in name.utf8.prefix(memory.count - 128) { line.add(byte: byte) }
      line.add(" @")
      line.addMilliseconds(start - sched.pointee.facts.startNanoseconds)
      line.add(" ms, ")
      line.addMilliseconds(end - start)
      line.add(" ms clock\n")
      if let start = memory.baseAddress { ReportWriter.writeToStandardError(start, line.count) }
    }
  }
}
