import CApus

/// The first lines of a fatal report: what has happened, in Go's words or Swift's.
enum Headline {
  /// Misuse by the program, that the runtime has noticed.
  case panic(StaticString)
  /// The same, described at run time.
  case describedPanic(UnsafePointer<CChar>)
  /// A failure of the runtime, or one that it cannot go on after.
  case fatalError(StaticString)
  /// A goroutine's stack is used up.
  case overflow(apus_fault)
  /// A check of the program that has failed, or an instruction of it that cannot be executed. A libswiftCore that has said
  /// something about it has kept it as text.
  case trap(apus_fault)
  /// The same inside the runtime.
  case runtimeTrap(apus_fault)
  /// A signal that somebody has sent.
  case request(apus_fault)

  /// What `fault`, a trap of the calling thread, is. Takes the message that libswiftCore keeps.
  init(of fault: apus_fault) {
    if fault.is_overflow {
      self = .overflow(fault)
      return
    }
    let m = UnsafeMutableRawPointer(fault.m)?.assumingMemoryBound(to: M.self)
    // On a scheduler's stack, and inside a section of the runtime, nobody's code runs but ours.
    let isRuntimes = m.map { $0.currentG.pointee.kind == .scheduler || $0.pointee.head.locks > 0 } ?? false
    self = isRuntimes ? .runtimeTrap(fault) : .trap(fault)
  }

  /// The program's own fault, as opposed to the runtime's, or a limit of it.
  var isPrograms: Bool {
    switch self {
    case .panic, .describedPanic, .trap: true
    case .fatalError, .overflow, .runtimeTrap, .request: false
    }
  }

  /// It is about the calling thread.
  var isOfCaller: Bool {
    if case .request = self { false } else { true }
  }

  /// Writes it. `dump` looks up the address of a trap.
  func write(to dump: inout GoroutineDump) {
    switch self {
    case .panic(let reason):
      dump.writer.write("panic: ")
      dump.writer.write(reason)
      dump.writer.write("\n")
    case .describedPanic(let reason):
      dump.writer.write("panic: ")
      dump.writer.write(cString: reason)
      dump.writer.write("\n")
    case .fatalError(let reason):
      dump.writer.write("fatal error: ")
      dump.writer.write(reason)
      dump.writer.write("\n")
    case .overflow(let fault):
      let head = fault.m?.pointee.current?.pointee
      dump.writer.write("runtime: goroutine stack exceeds ")
      dump.writer.write(UInt64(head.map { $0.stack_hi &- $0.stack_lo } ?? 0))
      dump.writer.write("-byte limit\nfatal error: stack overflow\n")
    case .trap(let fault):
      TrapReason.writeReport(fault, isRuntimes: false, to: &dump)
    case .runtimeTrap(let fault):
      TrapReason.writeReport(fault, isRuntimes: true, to: &dump)
    case .request(let signal):
      writeRequest(signal, to: &dump.writer)
    }
  }

  /// Go's `fatalsignal`.
  private func writeRequest(_ signal: apus_fault, to writer: inout ReportWriter) {
    writer.write(SignalName(signal.signal).name)
    writer.write(": ")
    writer.write(SignalName(signal.signal).text)
    writer.write("\nPC=")
    writer.write(hex: signal.pc)
    writer.write(" m=")
    writer.write(UnsafeMutableRawPointer(signal.m)?.assumingMemoryBound(to: M.self).pointee.id ?? -1)
    writer.write(" sigcode=")
    writer.write(Int64(signal.code))
    writer.write("\n")
  }
}
