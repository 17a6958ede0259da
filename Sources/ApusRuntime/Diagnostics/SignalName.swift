/// What a signal is called (Go's `sigtable`), of those that end in a report.
struct SignalName {
  static var quit: Int32 { 3 }
  static var illegalInstruction: Int32 { 4 }
  static var trace: Int32 { 5 }
  static var abort: Int32 { 6 }
  static var bus: Int32 { 7 }
  static var arithmetic: Int32 { 8 }
  static var memory: Int32 { 11 }

  private let number: Int32

  init(_ number: Int32) {
    self.number = number
  }

  var name: StaticString {
    switch number {
    case Self.quit: "SIGQUIT"
    case Self.illegalInstruction: "SIGILL"
    case Self.trace: "SIGTRAP"
    case Self.abort: "SIGABRT"
    case Self.bus: "SIGBUS"
    case Self.arithmetic: "SIGFPE"
    case Self.memory: "SIGSEGV"
    default: "signal"
    }
  }

  var text: StaticString {
    switch number {
    case Self.quit: "quit"
    case Self.illegalInstruction: "illegal instruction"
    case Self.trace: "trace trap"
    case Self.abort: "abort"
    case Self.bus: "bus error"
    case Self.arithmetic: "floating-point exception"
    case Self.memory: "segmentation violation"
    default: "unknown"
    }
  }
}
