import Synchronization

/// `GODEBUG=gctrace=1`: a line for each cycle, in Go's format.
///
///     gc 1 @0.012s 2%: 0.026+0.39+0.10 ms clock, 0.052+0.11/0.67/0+0.20 ms cpu, 8->8->0 MB, 8 MB goal, 0 MB stacks,
///     0 MB globals, 2 P
///
/// (one line): the number, the time since the start, the share of the processors' time that collection has had since then;
/// the first pause, marking, the later pauses, by the clock; the same in processor time, marking divided into assists and
/// workers (which mark in idle time too: the third number is 0); the heap's objects at the beginning, at the end, and what
/// was found to live; the goal; what was scanned of stacks; processors. There are no globals: those are `Root`s.
enum GCTrace {
  static func write(_ figures: CycleFigures) {
    if sched.pointee.knobs.gctrace == 0 { return }
    // Outside all sections: it may have to wait for whoever reads it.
    var memory = InlineArray<512, UInt8>(repeating: 0)
    withUnsafeMutableBytes(of: &memory) { memory in
      var line = BoundedText(memory)
      compose(figures, &line)
      Syscall.enter()
      if let start = memory.baseAddress { ReportWriter.writeToStandardError(start, line.count) }
      Syscall.exit()
    }
  }

  private static func compose(_ figures: CycleFigures, _ line: inout BoundedText) {
    let procs = Int64(sched.pointee.maxProcs.load(ordering: .relaxed))
    let started = figures.end - sched.pointee.facts.startNanoseconds
    let concurrent = max(figures.end - figures.markStart - figures.laterPauses, 0)
    line.add("gc ")
    line.add(UInt64(figures.number))
    line.add(" @")
    line.add(thousandths: started / 1_000_000)
    line.add("s ")
    line.add(UInt64(max(100 * HeapTotals.collectionTime(procs) / max(started * procs, 1), 0)))
    line.add("%: ")
    line.addMilliseconds(figures.firstPause)
    line.add("+")
    line.addMilliseconds(concurrent)
    line.add("+")
    line.addMilliseconds(figures.laterPauses)
    line.add(" ms clock, ")
    line.addMilliseconds(figures.firstPause * procs)
    line.add("+")
    line.addMilliseconds(figures.assistTime)
    line.add("/")
    line.addMilliseconds(figures.workerTime)
    line.add("/0+")
    line.addMilliseconds(figures.laterPauses * procs)
    line.add(" ms cpu, ")
    line.add(UInt64(figures.atStart >> 20))
    line.add("->")
    line.add(UInt64(figures.atEnd >> 20))
    line.add("->")
    line.add(UInt64(figures.marked >> 20))
    line.add(" MB, ")
    line.add(UInt64(figures.goal >> 20))
    line.add(" MB goal, ")
    line.add(UInt64(figures.stackBytes >> 20))
    line.add(" MB stacks, 0 MB globals, ")
    line.add(UInt64(procs))
    line.add(" P")
    if figures.reason == .forced { line.add(" (forced)") }
    line.add("\n")
  }
}

extension HeapTotals {
  /// Nanoseconds of processor time that all cycles took: marking, and pauses on every processor.
  static func collectionTime(_ procs: Int64) -> Int64 {
    let m = currentM()
    totals.pointee.lock.lock(m)
    defer { totals.pointee.lock.unlock(m) }
    return totals.pointee.markTime + totals.pointee.pauseTotal * procs
  }
}
