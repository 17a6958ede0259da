import CApus

/// The end of the process with a report on standard error in Go's form, and exit status 2 (`fatalpanic`, `fatalthrow`,
/// `newstack`'s overflow, `sighandler`).
///
/// There is one report a process. The first thread that fails writes it; every other thread that fails meanwhile stops
/// for ever, and the process ends under it. A report that itself fails, or makes no progress for five seconds, ends
/// the process with what has been written.
///
/// GOTRACEBACK decides whose frames follow the headline: nobody's (`none`), those of the goroutine that failed (`single`,
/// the default), the other goroutines' too (`all`), the runtime's own too (`system`), and whether the process then ends by
/// SIGABRT (`crash`). A failure of the runtime itself shows all goroutines and the runtime's frames, a deadlock and a
/// signal that asks for it all goroutines, except for `none`.
package enum FatalReport {
  /// The size of the fatal stack: demangling recurses, and so do the unwinder's tables.
  private static let stackSize = 512 << 10
  /// What lies below the fatal stack and may not be touched. A multiple of every page size of both architectures.
  private static let guardSize = 64 << 10
  /// The end of the fatal stack, 0 until there is one. Written once, by boot, before there is a second thread.
  nonisolated(unsafe) private static var stackTop: UInt = 0

  /// Reserves the fatal stack and installs the handlers of traps: each ends in `trap`. Called by boot, which may come after
  /// a lazy start: the first call counts. Ends the process with a report when the system refuses. `isGuest`: the process is
  /// another runtime's, which keeps the traps of its own threads.
  static func installTrapHandlers(isGuest: Bool) {
    if stackTop != 0 { return }
    guard let base = apus_mmap_reserve(guardSize + stackSize), apus_mprotect_rw(base + guardSize, stackSize) == 0
    else { fatalError("runtime: cannot allocate memory for the fatal stack") }
    let lo = UInt(bitPattern: base) + UInt(guardSize)
    guard apus_signal_traps_install(lo, lo + UInt(stackSize), reportTrap, isGuest) == 0, apus_report_guard_exit() == 0
    else { fatalError("runtime: cannot install the handlers of traps") }
    stackTop = lo + UInt(stackSize)
  }

  /// Ends the process for a failure of the program: `panic: ` and `reason`, then the calling goroutine's frames. Inside an
  /// isolated call it ends that.
  @inline(never)
  package static func panic(_ reason: StaticString) -> Never {
    Isolation.leave(reason, at: apus_return_address())
    fail(Failure(.panic(reason), at: apus_return_address()))
  }

  /// The same with a reason that is made up at run time. The caller may allocate; the report does not.
  @inline(never)
  package static func panic(_ reason: String) -> Never {
    let address = apus_return_address()
    // Never freed: an isolated call that it ends keeps it.
    let utf8 = reason.utf8CString
    let text = UnsafeMutableBufferPointer<CChar>.allocate(capacity: utf8.count)
    _ = text.initialize(from: utf8)
    let start = UnsafePointer(text.baseAddress.unsafelyUnwrapped)
    Isolation.leave(UnsafeRawPointer(start).assumingMemoryBound(to: UInt8.self), utf8.count - 1, at: address)
    fail(Failure(.describedPanic(start), at: address))
  }

  /// Ends the process for a failure of the runtime or one that it cannot go on after: `fatal error: ` and `reason`,
  /// then the calling goroutine's frames.
  @inline(never)
  static func fatalError(_ reason: StaticString) -> Never {
    fail(Failure(.fatalError(reason), at: apus_return_address(), .runtimes))
  }

  /// Ends the process because no goroutine can ever run again: `fatal error: ` and `reason`, then every goroutine. The
  /// caller is a thread of the runtime without a goroutine, and holds no lock.
  static func deadlock(_ reason: StaticString) -> Never {
    fail(Failure(.fatalError(reason), at: apus_return_address(), .nobodys))
  }

  /// Ends the process because a thread more than `limit` was wanted (Go's `checkmcount`).
  static func tooManyThreads(limit: Int) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: program exceeds ")
    writer.write(UInt64(limit))
    writer.write("-thread limit\n")
    finish(Failure(.fatalError("thread exhaustion"), at: apus_return_address(), .runtimes))
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
    finish(Failure(.fatalError("newosproc"), at: apus_return_address(), .runtimes))
  }

  /// Ends the process for a trap of the calling thread. Runs on the fatal stack, the thread being the reporter already.
  static func trap(_ fault: apus_fault) -> Never {
    apus_watchdog(APUS_WATCHDOG_SECONDS, APUS_FATAL_STATUS)
    let headline = Headline(of: fault)
    finish(Failure(headline, at: fault.frame_pc, headline.isPrograms ? .programs : .runtimes))
  }

  /// Ends the process because somebody has sent a signal that asks for it: the signal's name, then every goroutine. The
  /// caller is sysmon.
  static func requested(_ signal: apus_fault) -> Never {
    fail(Failure(.request(signal), at: apus_return_address(), .nobodys))
  }

  /// Ends the process because the managed heap cannot have `bytes` more; `inUse`: what it has, of at most `limit`.
  static func outOfMemory(bytes: Int, inUse: Int, limit: Int) -> Never {
    claim()
    var writer = ReportWriter()
    writer.write("runtime: out of memory: cannot allocate ")
    writer.write(UInt64(max(bytes, 0)))
    writer.write("-byte block (")
    writer.write(UInt64(inUse))
    writer.write(" in use of at most ")
    writer.write(UInt64(limit))
    writer.write(")\n")
    finish(Failure(.fatalError("out of memory"), at: apus_return_address(), .runtimes))
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
    finish(Failure(.fatalError("managed heap is broken"), at: apus_return_address(), .runtimes))
  }

  private static func claim() {
    apus_report_claim()
    apus_watchdog(APUS_WATCHDOG_SECONDS, APUS_FATAL_STATUS)
  }

  /// Whose fault it is, which decides what is of interest.
  private enum Blame {
    /// The current goroutine's.
    case programs
    /// The runtime's, or at least its limit: its frames and everybody else's are of interest.
    case runtimes
    /// No goroutine is to blame more than another.
    case nobodys
  }

  /// What failed, and where.
  private struct Failure {
    var headline: Headline
    /// The first frame to be shown goes on here.
    var address: UInt
    var blame: Blame

    init(_ headline: Headline, at address: UInt, _ blame: Blame = .programs) {
      self.headline = headline
      self.address = address
      self.blame = blame
    }
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

  /// First the others are stopped as far as that goes, for a goroutine whose thread is stopped may hold malloc's lock; then
  /// the headline: what comes after it may hang or fail.
  private static func finish(_ failure: Failure) -> Never {
    // In a deadlock nobody runs.
    let isDeadlock = failure.blame == .nobodys && failure.headline.isOfCaller
    if apus_get_sched() != nil && !isDeadlock { _ = apus_report_try({ _ in StopTheWorld.freeze() }, nil) }
    let level = apus_get_sched() == nil ? Knobs.Traceback.single : sched.pointee.knobs.traceback
    let isRuntimes = failure.blame == .runtimes
    var dump = GoroutineDump(to: .standardError, showsRuntime: isRuntimes || level >= .system)
    failure.headline.write(to: &dump)
    if level > .none {
      if failure.blame != .nobodys || (level >= .system && failure.headline.isOfCaller) {
        dump.writer.write("\n")
        dump.writeCurrent(from: failure.address)
      }
      if apus_get_sched() != nil && (failure.blame != .programs || level >= .all) {
        writeOthers(to: &dump, system: level >= .system)
      }
    }
    TraceOfRun.endForReport()
    if level == .crash { apus_abort_now() }
    apus_exit_now(APUS_FATAL_STATUS)
  }

  /// Writes the goroutines that are not current. No lock is taken, the failed code may hold it: the registry only grows,
  /// and what it leads to is never freed. Unless it is a deadlock, goroutines may still run: their threads are asked for
  /// their frames, and those of one that moves meanwhile may be wrong or missing.
  private static func writeOthers(to dump: inout GoroutineDump, system: Bool) {
    dump.showsRuntime = system
    let list = GoroutineList(sched.pointee.goroutines.slabs, without: currentMOrNil()?.currentG, withSystem: system)
    var patience: Int64 = 10_000_000_000
    for index in 0..<list.count {
      let g = list[index]
      let state = GoroutineDump.State(g)
      var traceback = GoroutineDump.traceback(of: g, patience: &patience)
      dump.writeOther(state, &traceback)
      // As long as it goes on, it may take its time.
      if index % 256 == 255 { apus_watchdog(APUS_WATCHDOG_SECONDS, APUS_FATAL_STATUS) }
    }
  }
}

/// Where a thread goes that has trapped, on the fatal stack (see traps.c).
@c(apus_report_trap)
func reportTrap(_ fault: UnsafePointer<apus_fault>?) {
  guard let fault else { FatalReport.fatalError("runtime: a trap without a description") }
  FatalReport.trap(fault.pointee)
}
