import CApus

/// The end of the process with a report on standard error in Go's form, and exit status 2 (`fatalpanic`, `fatalthrow`,
/// `newstack`'s overflow).
///
/// There is one report a process. The first thread that fails writes it; every other thread that fails meanwhile stops
/// for ever, and the process ends under it. A report that itself fails, or makes no progress for five seconds, ends
/// the process with what has been written.
///
/// GOTRACEBACK decides whose frames follow the headline: nobody's (`none`), those of the goroutine that failed (`single`,
/// the default), the other goroutines' too (`all`), the runtime's own too (`system`), and whether the process then ends by
/// SIGABRT (`crash`). A failure of the runtime itself shows the runtime's frames, a deadlock all goroutines, except for
/// `none`.
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
    fail(Failure(kind: "panic: ", reason: reason, address: apus_return_address()))
  }

  /// The same with a reason that is made up at run time. The caller may allocate; the report does not.
  @inline(never)
  package static func panic(_ reason: String) -> Never {
    let address = apus_return_address()
    reason.withCString { text in
      fail(Failure(kind: "panic: ", reason: "", address: address, text: text))
    }
  }

  /// Ends the process for a failure of the runtime or one that it cannot go on after: `fatal error: ` and `reason`,
  /// then the calling goroutine's frames.
  @inline(never)
  static func fatalError(_ reason: StaticString) -> Never {
    fail(Failure(kind: "fatal error: ", reason: reason, address: apus_return_address(), isRuntimes: true))
  }

  /// Ends the process because no goroutine can ever run again: `fatal error: ` and `reason`, then every goroutine. The
  /// caller is a thread of the runtime without a goroutine, and holds no lock.
  static func deadlock(_ reason: StaticString) -> Never {
    fail(Failure(kind: "fatal error: ", reason: reason, address: apus_return_address(), showsAll: true))
  }

  /// Ends the process because a thread more than `limit` was wanted (Go's `checkmcount`).
  static func tooManyThreads(limit: Int) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: program exceeds ")
    writer.write(UInt64(limit))
    writer.write("-thread limit\n")
    finish(
      Failure(kind: "fatal error: ", reason: "thread exhaustion", address: apus_return_address(), isRuntimes: true))
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
    finish(Failure(kind: "fatal error: ", reason: "newosproc", address: apus_return_address(), isRuntimes: true))
  }

  /// Ends the process because the managed heap cannot have `bytes` more; `inUse`: what it has.
  static func outOfMemory(bytes: Int, inUse: Int) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: out of memory: cannot allocate ")
    writer.write(UInt64(max(bytes, 0)))
    writer.write("-byte block (")
    writer.write(UInt64(inUse))
    writer.write(" in use)\n")
    finish(Failure(kind: "fatal error: ", reason: "out of memory", address: apus_return_address(), isRuntimes: true))
  }

  /// Ends the process because `GODEBUG=heapcheck=1` has found `what` in the managed heap: at an address, for a link with the
  /// address that it leads to.
  static func heapIsBroken(_ what: StaticString, _ address: UInt, _ target: UInt?) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: heapcheck: ")
    if target != nil { writer.write("a link ") }
    writer.write(what)
    writer.write(", at ")
    writer.write(hex: address)
    if let target {
      writer.write(" to ")
      writer.write(hex: target)
    }
    writer.write("\n")
    finish(
      Failure(
        kind: "fatal error: ", reason: "managed heap is broken", address: apus_return_address(), isRuntimes: true))
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
    finish(Failure(kind: "fatal error: ", reason: "stack overflow", address: fault.pc, isRuntimes: true))
  }

  /// How long a report may go without progress: demangling allocates, and the failed code may have held malloc's lock.
  private static let watchdogSeconds: Int32 = 5

  /// What failed, and where.
  private struct Failure {
    var kind: StaticString
    var reason: StaticString
    /// The first frame to be shown goes on here.
    var address: UInt
    /// The runtime's fault, or at least its limit: its frames are of interest.
    var isRuntimes = false
    /// What comes after `reason`.
    var text: UnsafePointer<CChar>?
    /// No goroutine is to blame more than another.
    var showsAll = false
  }

  private static func fail(_ failure: Failure) -> Never {
    claim()
    var failure = failure
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
    finish(failure)
  }

  /// The headline first: what comes after it may hang or fail.
  private static func finish(_ failure: Failure) -> Never {
    let level = apus_get_sched() == nil ? Knobs.Traceback.single : sched.pointee.knobs.traceback
    var dump = GoroutineDump(to: .standardError, showsRuntime: failure.isRuntimes || level >= .system)
    dump.writer.write(failure.kind)
    dump.writer.write(failure.reason)
    if let text = failure.text { dump.writer.write(text) }
    dump.writer.write("\n")
    if level > .none {
      if !failure.showsAll || dump.showsRuntime {
        dump.writer.write("\n")
        dump.writeCurrent(from: failure.address)
      }
      if failure.showsAll {
        writeOthers(to: &dump, system: level >= .system)
      } else if level >= .all && apus_get_sched() != nil {
        StopTheWorld.freeze()
        writeOthers(to: &dump, system: level >= .system)
      }
    }
    if level == .crash { apus_abort_now() }
    apus_exit_now(APUS_FATAL_STATUS)
  }

  /// Writes the goroutines that are not current. No lock is taken, the failed code may hold it: the registry only grows,
  /// and what it leads to is never freed. Unless it is a deadlock, goroutines may still run: they are stopped as far as
  /// that goes without their help, and of one that moves meanwhile the frames may be wrong or missing.
  private static func writeOthers(to dump: inout GoroutineDump, system: Bool) {
    dump.showsRuntime = system
    let list = GoroutineList(sched.pointee.goroutines.slabs, without: currentMOrNil()?.currentG, withSystem: system)
    for index in 0..<list.count {
      let g = list[index]
      dump.writeOther(GoroutineDump.State(g), GoroutineDump.traceback(of: g))
      // As long as it goes on, it may take its time.
      if index % 256 == 255 { apus_watchdog(watchdogSeconds, APUS_FATAL_STATUS) }
    }
  }
}

/// Where a thread goes whose goroutine has overflowed its stack, on the fatal stack (see signals.c).
@c(apus_report_overflow)
func reportOverflow(_ fault: UnsafePointer<apus_fault>?) {
  guard let fault else { FatalReport.fatalError("runtime: a fault without a description") }
  FatalReport.stackOverflow(fault.pointee)
}
