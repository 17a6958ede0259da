import CApus

/// Why a trap has happened.
///
/// A check that the compiler has put into the program ends in an instruction that cannot be executed. In a debug build,
/// and where the check is a function of the standard library, libswiftCore has written why before that, and kept it. Else
/// only the debug information knows: it has an inlined function at the instruction, called after the reason.
enum TrapReason {
  /// Whether the signal is one by which a failed check shows.
  static func isChecks(_ signal: Int32) -> Bool {
    signal == SignalName.illegalInstruction || signal == SignalName.trace || signal == SignalName.abort
  }

  /// Writes `panic: ` and the reason, or `fatal error: ` where it is the runtime's; below it the signal, unless the reason
  /// is that of a check.
  static func writeReport(_ fault: apus_fault, isRuntimes: Bool, to dump: inout GoroutineDump) {
    let isWild = isMemoryFault(fault) && !isNullPointer(fault)
    if isWild {
      dump.writer.write("unexpected fault address ")
      dump.writer.write(hex: fault.address)
      dump.writer.write("\n")
    }
    let isFatal = isRuntimes || isWild
    let kind: StaticString = isFatal ? "fatal error: " : "panic: "
    dump.writer.write(kind)
    let isCheck = write(fault, UnsafePointer(fault.message), to: &dump)
    dump.writer.write("\n")
    if !isCheck { writeSignal(fault, to: &dump.writer) }
  }

  /// Writes the reason alone; true when it is that of a check.
  static func write(_ fault: apus_fault, _ message: UnsafePointer<CChar>?, to dump: inout GoroutineDump) -> Bool {
    if let message {
      write(messageText(message), to: &dump.writer)
      return true
    }
    if isChecks(fault.signal), let name = dump.failure(at: fault.frame_pc) {
      dump.writer.write(cString: name)
      return true
    }
    dump.writer.write(words(for: fault))
    return false
  }

  /// Go's words, where Go has the same trap (`sigpanic`).
  private static func words(for fault: apus_fault) -> StaticString {
    if isMemoryFault(fault) {
      return isNullPointer(fault) ? "invalid memory address or nil pointer dereference" : "fault"
    }
    if fault.signal == SignalName.arithmetic {
      // FPE_INTDIV, FPE_INTOVF.
      return fault.code == 1 ? "integer divide by zero" : fault.code == 2 ? "integer overflow" : "floating point error"
    }
    if fault.signal != SignalName.abort && isTrapInstruction(at: fault.pc, fault.code) {
      return "a check of the program has failed, and no debug information tells which"
    }
    return SignalName(fault.signal).text
  }

  private static func isMemoryFault(_ fault: apus_fault) -> Bool {
    fault.signal == SignalName.memory || fault.signal == SignalName.bus
  }

  private static func isNullPointer(_ fault: apus_fault) -> Bool {
    var fault = fault
    return apus_is_null_pointer(&fault)
  }

  /// The instruction by which compilers end what must not go on.
  private static func isTrapInstruction(at pc: UInt, _ code: Int32) -> Bool {
    // The kernel has read it: it is there.
    guard code > 0, let instruction = UnsafeRawPointer(bitPattern: pc) else { return false }
    #if arch(arm64)
      return instruction.loadUnaligned(as: UInt32.self) & 0xffe0_001f == 0xd420_0000  // brk
    #else
      return instruction.loadUnaligned(as: UInt16.self) == 0x0b0f  // ud2
    #endif
  }

  /// libswiftCore's text without the place in the source before it, which the frames tell, and the newline at its end.
  private static func messageText(_ message: UnsafePointer<CChar>) -> ByteText {
    var text = ByteText(cString: message)
    while text.count > 0, text[text.count - 1] == UInt8(ascii: "\n") { text = text.prefix(text.count - 1) }
    // "file:line: "
    var index = 0
    while index + 1 < text.count, text[index] != UInt8(ascii: "\n") {
      if text[index] == UInt8(ascii: ":"), text[index + 1] == UInt8(ascii: " ") {
        var digits = index
        while digits > 0, text[digits - 1] >= UInt8(ascii: "0"), text[digits - 1] <= UInt8(ascii: "9") { digits -= 1 }
        let isPlace = digits < index && digits > 0 && text[digits - 1] == UInt8(ascii: ":")
        return isPlace ? text.dropFirst(index + 2) : text
      }
      index += 1
    }
    return text
  }

  /// As Go: further lines are indented (`printindented`).
  private static func write(_ text: ByteText, to writer: inout ReportWriter) {
    var index = 0
    while index < text.count {
      writer.write(byte: text[index])
      if text[index] == UInt8(ascii: "\n") { writer.write("\t") }
      index += 1
    }
  }

  /// Go's line for a signal that became a panic (`dopanic_m`).
  private static func writeSignal(_ fault: apus_fault, to writer: inout ReportWriter) {
    writer.write("[signal ")
    writer.write(SignalName(fault.signal).name)
    writer.write(": ")
    writer.write(SignalName(fault.signal).text)
    writer.write(" code=")
    if fault.code < 0 { writer.write(Int64(fault.code)) } else { writer.write(hex: UInt(fault.code)) }
    writer.write(" addr=")
    writer.write(hex: fault.address)
    writer.write(" pc=")
    writer.write(hex: fault.pc)
    writer.write("]\n")
  }
}
