import Synchronization

/// `GODEBUG=gctrace=1`: a line for each cycle, in Go's format.
///
///     gc 1 @0.012s 2%: 0.026+0.39+0.10 ms clock, 0.052+0.11/0.67/0+0.20 ms cpu, 4->4->0 MB, 4 MB goal, 0 MB stacks,
///     0 MB globals, 2 P
///
/// (one line): the number, the time since the start, the share of the processors' time that collection has had since then;
/// the first pause, marking, the later pauses, by the clock; the same in processor time, marking divided into assists and
/// workers (which mark in idle time too: the third number is 0); the heap's objects at the beginning, at the end, and what
/// was found to live; the goal; what was scanned of stacks; processors. There are no globals: those are `Root`s.
enum GCTrace {
  static func write(_ figures: CycleFigures, cycle: UInt32) {
    if sched.pointee.knobs.gctrace == 0 { return }
    // The writer gathers the text in a buffer on the stack, and a goroutine may have little of it. The goroutine writes
    // the line itself, outside the section: it may have to wait for whoever reads it.
    var line = Line(figures: figures, cycle: cycle)
    SystemStack.run(&line) { argument in
      let line = argument.unsafelyUnwrapped.assumingMemoryBound(to: Line.self)
      withUnsafeMutablePointer(to: &line.pointee.used) { used in
        withUnsafeMutableBytes(of: &line.pointee.text) { text in
          GCTrace.compose(line.pointee.figures, line.pointee.cycle, to: .memory(text, used: used))
        }
      }
    }
    withUnsafeBytes(of: &line.text) { text in
      Syscall.enter()
      ReportWriter.writeToStandardError(UnsafeRawBufferPointer(rebasing: text.prefix(line.used)))
      Syscall.exit()
    }
  }

  private struct Line {
    let figures: CycleFigures
    let cycle: UInt32
    var text = InlineArray<512, UInt8>(repeating: 0)
    var used = 0
  }

  private static func compose(_ figures: CycleFigures, _ cycle: UInt32, to destination: ReportWriter.Destination) {
    let procs = Int64(sched.pointee.maxProcs.load(ordering: .relaxed))
    let started = figures.end - sched.pointee.facts.startNanoseconds
    let concurrent = max(figures.end - figures.markStart - figures.laterPauses, 0)
    var writer = ReportWriter(to: destination)
    writer.write("gc ")
    writer.write(UInt64(cycle))
    writer.write(" @")
    writer.write(thousandths: started / 1_000_000)
    writer.write("s ")
    writer.write(UInt64(max(100 * HeapTotals.collectionTime(procs) / max(started * procs, 1), 0)))
    writer.write("%: ")
    writer.writeMilliseconds(figures.firstPause)
    writer.write("+")
    writer.writeMilliseconds(concurrent)
    writer.write("+")
    writer.writeMilliseconds(figures.laterPauses)
    writer.write(" ms clock, ")
    writer.writeMilliseconds(figures.firstPause * procs)
    writer.write("+")
    writer.writeMilliseconds(figures.assistTime)
    writer.write("/")
    writer.writeMilliseconds(figures.workerTime)
    writer.write("/0+")
    writer.writeMilliseconds(figures.laterPauses * procs)
    writer.write(" ms cpu, ")
    writer.write(UInt64(figures.atStart >> 20))
    writer.write("->")
    writer.write(UInt64(figures.atEnd >> 20))
    writer.write("->")
    writer.write(UInt64(figures.marked >> 20))
    writer.write(" MB, ")
    writer.write(UInt64(figures.goal >> 20))
    writer.write(" MB goal, ")
    writer.write(UInt64(figures.stackBytes >> 20))
    writer.write(" MB stacks, 0 MB globals, ")
    writer.write(UInt64(procs))
    writer.write(" P")
    if figures.reason == .forced { writer.write(" (forced)") }
    writer.write("\n")
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

extension ReportWriter {
  /// Writes `number` divided by a thousand, with three digits behind the point.
  fileprivate mutating func write(thousandths number: Int64) {
    let number = UInt64(max(number, 0))
    write(number / 1000)
    write(".")
    writeDigits(of: number, from: 100)
  }

  /// Writes nanoseconds as milliseconds: whole ones from 10 on, else with two significant digits (Go's `fmtNSAsMS`).
  fileprivate mutating func writeMilliseconds(_ nanoseconds: Int64) {
    if nanoseconds >= 10_000_000 {
      write(UInt64(nanoseconds / 1_000_000))
      return
    }
    var microseconds = UInt64(max(nanoseconds, 0) / 1000)
    if microseconds == 0 {
      write("0")
      return
    }
    var places = 3
    while microseconds >= 100 {
      microseconds /= 10
      places -= 1
    }
    let scale: UInt64 = places == 3 ? 1000 : places == 2 ? 100 : places == 1 ? 10 : 1
    write(microseconds / scale)
    if places == 0 { return }
    write(".")
    writeDigits(of: microseconds, from: scale / 10)
  }

  /// Writes the digits of `number` from the one that counts `place` on.
  private mutating func writeDigits(of number: UInt64, from place: UInt64) {
    var place = place
    while place > 0 {
      write(byte: UInt8(ascii: "0") + UInt8(number / place % 10))
      place /= 10
    }
  }
}
