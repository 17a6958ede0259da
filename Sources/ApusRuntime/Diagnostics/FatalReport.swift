import CApus

/// The end of the process with a report on standard error in Go's form, and exit status 2 (`fatalpanic`, `fatalthrow`,
/// `newstack`'s overflow).
///
/// There is one report a process. The first thread that fails writes it; every other thread that fails meanwhile stops
/// for ever, and the process ends under it. A report that itself fails, or takes longer than five seconds, ends
/// the process with what has been written.
package enum FatalReport {
  /// The size of the fatal stack: demangling recurses, and so do the unwinder's tables.
  private static let stackSize = 512 << 10
  /// What lies below the fatal stack and may not be touched. A multiple of every page size of both architectures.
  private static let guardSize = 64 << 10
  /// The end of the fatal stack, 0 until there is one. Written once, by boot, before there is a second thread.
  nonisolated(unsafe) private static var stackTop: UInt = 0

  /// Reserves the fatal stack and installs the handlers of memory faults: an overflow of a goroutine's stack ends in
  /// `stackOverflow`, every other fault in whatever was to happen before. To be called once, by boot; ends the process
  /// with a report when the system refuses.
  static func installFaultHandlers() {
    guard let base = apus_mmap_reserve(guardSize + stackSize), apus_mprotect_rw(base + guardSize, stackSize) == 0
    else { fatalError("runtime: cannot allocate memory for the fatal stack") }
    let lo = UInt(bitPattern: base) + UInt(guardSize)
    guard apus_signal_fault_install(lo, lo + UInt(stackSize), reportOverflow) == 0
    else { fatalError("runtime: cannot install the handlers of memory faults") }
    stackTop = lo + UInt(stackSize)
  }

  /// Ends the process for a failure of the program: `panic: ` and `reason`, then the calling goroutine's frames.
  @inline(never)
  package static func panic(_ reason: StaticString) -> Never {
    fail("panic: ", reason, from: apus_return_address())
  }

  /// Ends the process for a failure of the runtime or one that it cannot go on after: `fatal error: ` and `reason`,
  /// then the calling goroutine's frames.
  @inline(never)
  static func fatalError(_ reason: StaticString) -> Never {
    fail("fatal error: ", reason, from: apus_return_address())
  }

  /// Ends the process because a thread more than `limit` was wanted (Go's `checkmcount`).
  static func tooManyThreads(limit: Int) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: program exceeds ")
    writer.write(UInt64(limit))
    writer.write("-thread limit\n")
    finish("fatal error: ", "thread exhaustion", from: apus_return_address(), writer)
  }

  /// Ends the process because the kernel gave no thread: `error` is its errno, `have` how many there are.
  static func cannotStartThread(have: Int, error: Int32) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: failed to create new OS thread (have ")
    writer.write(UInt64(have))
    writer.write(" already; errno=")
    writer.write(UInt64(error))
    writer.write(")\n")
    finish("fatal error: ", "newosproc", from: apus_return_address(), writer)
  }

  private static func claim() {
    apus_report_claim()
    apus_watchdog(watchdogSeconds, APUS_FATAL_STATUS)
  }

  /// Ends the process for an overflow of the current goroutine's stack. Runs on the fatal stack, its thread being the
  /// reporter already.
  static func stackOverflow(_ fault: apus_fault) -> Never {
    apus_watchdog(watchdogSeconds, APUS_FATAL_STATUS)
    var writer = ReportWriter()
    writer.write("runtime: goroutine stack exceeds ")
    let head = fault.m?.pointee.current?.pointee
    writer.write(UInt64(head.map { $0.stack_hi &- $0.stack_lo } ?? 0))
    writer.write("-byte limit\n")
    finish("fatal error: ", "stack overflow", from: fault.pc, writer)
  }

  /// How long a report may take: demangling allocates, and the failed code may have held malloc's lock.
  private static let watchdogSeconds: Int32 = 5

  /// A failure on its way to the fatal stack.
  private struct Failure {
    var kind: StaticString
    var reason: StaticString
    var address: UInt
  }

  private static func fail(_ kind: StaticString, _ reason: StaticString, from address: UInt) -> Never {
    claim()
    var failure = Failure(kind: kind, reason: reason, address: address)
    if stackTop != 0 {
      // A goroutine may have too little of its stack left for a report. The unwinder finds the way back.
      apus_call_on_stack(stackTop, { FatalReport.finish($0) }, &failure)
    } else {
      finish(&failure)
    }
    apus_exit_now(APUS_FATAL_STATUS)
  }

  private static func finish(_ failure: UnsafeMutableRawPointer?) {
    guard let failure = failure?.assumingMemoryBound(to: Failure.self).pointee else { return }
    finish(failure.kind, failure.reason, from: failure.address, ReportWriter())
  }

  /// The headline first: what comes after it may hang or fail.
  private static func finish(
    _ kind: StaticString, _ reason: StaticString, from address: UInt, _ writer: consuming ReportWriter
  ) -> Never {
    writer.write(kind)
    writer.write(reason)
    writer.write("\n\n")
    if let current = apus_current_m()?.pointee.current {
      writer.write("goroutine ")
      writer.write(current.pointee.id)
    } else {
      writer.write("thread ")
      writer.write(UInt64(apus_gettid()))
    }
    writer.write(" [running]:\n")
    let traceback = Traceback(from: address)
    var symbols = SymbolTable()
    traceback.write(to: &writer, symbols: &symbols)
    writer.flush()
    apus_exit_now(APUS_FATAL_STATUS)
  }
}

/// Where a thread goes whose goroutine has overflowed its stack, on the fatal stack (see signals.c).
@c(apus_report_overflow)
func reportOverflow(_ fault: UnsafePointer<apus_fault>?) {
  guard let fault else { FatalReport.fatalError("runtime: a fault without a description") }
  FatalReport.stackOverflow(fault.pointee)
}
