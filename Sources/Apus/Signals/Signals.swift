/// The system's signals as values on channels (Go's `os/signal`).
///
///     let stop = Signals.notify([SIGINT, SIGTERM])
///     go {
///       let signal = stop.receive()!
///       …
///     }
///
/// A signal that some channel is notified of does nothing else: it does not end the process. Any number of channels may
/// be notified of one.
public enum Signals {
  /// A channel on which each of `signals` (by its number) arrives from now on, until `stop`. For an empty list nothing
  /// ever does.
  ///
  /// No signal is lost, however late it is received, except that several of a kind that nobody has received yet are one.
  /// While there is such a channel no deadlock is reported: a signal may always come.
  ///
  /// These end the process with a panic: a number that no signal has, SIGKILL and SIGSTOP, which cannot be caught, those
  /// by which a program's faults are told (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP), and SIGURG, by which the runtime
  /// interrupts threads.
  public static func notify(_ signals: [Int32]) -> Channel<Int32> {
    var mask: UInt64 = 0
    for signal in signals {
      check(signal)
      mask |= 1 << UInt64(signal - 1)
    }
    return SignalRelay.shared.add(mask)
  }

  /// Nothing arrives on `channel`, which `notify` has returned, after this; what has arrived can still be received. A
  /// signal of which no other channel is notified does again what it did before, and does one or the other: none is lost
  /// in between. Stopping again does nothing.
  public static func stop(_ channel: Channel<Int32>) {
    SignalRelay.shared.remove(channel)
  }

  private static func check(_ signal: Int32) {
    switch signal {
    case 9, 19: Fatal.panic("signal: SIGKILL and SIGSTOP cannot be caught")
    case 4, 5, 7, 8, 11: Fatal.panic("signal: the signals of faults are the runtime's")
    case 23: Fatal.panic("signal: SIGURG is the runtime's")
    case 32, 33: Fatal.panic("signal: signals 32 and 33 are the C library's")
    case 1...64: break
    default: Fatal.panic("signal: not the number of a signal")
    }
  }
}
