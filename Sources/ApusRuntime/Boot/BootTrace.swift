import CApus

/// The boot trace: `GODEBUG=boottrace=1` prints a line for each step of start-up to standard error.
///
/// Owned by the boot sequence and passed on as `inout`, so that it needs no global. Switched off it costs the test of
/// `isOn` at each step.
package struct BootTrace {
  /// Whether lines are printed.
  package let isOn: Bool
  private var ordinal = 0
  private var clock = BootClock()

  /// A trace that is on if `environment` asks for it. On, it first spends half a millisecond on calibrating its clock,
  /// which does not count.
  package init(environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?) {
    isOn = Knobs.wantsBootTrace(environment)
    if isOn { clock.start(entryTicks: apus_get_entry_ticks()) }
  }

  /// A trace that is off.
  package init() { isOn = false }

  /// Reports that the step `name` is done. `detail` says what it found, and is evaluated only when the trace is on.
  @inline(__always)
  package mutating func step(_ name: StaticString, _ detail: @autoclosure () -> String = "") {
    if isOn { print(name, detail(), nil) }
  }

  /// Reports a step that was over at `ticks` (`apus_get_entry_ticks()` for the entry point itself) instead of now.
  @inline(__always)
  package mutating func step(
    _ name: StaticString, atTicks ticks: UInt64, _ detail: @autoclosure () -> String = ""
  ) {
    if isOn { print(name, detail(), ticks) }
  }

  @inline(never)
  private mutating func print(_ name: StaticString, _ detail: @autoclosure () -> String, _ ticks: UInt64?) {
    let now = clock.nanoseconds
    ordinal += 1
    var line = Self.line(ordinal, "\(name)", ticks.map { clock.nanoseconds(atTicks: $0) } ?? now, detail())
    line.withUTF8 { _ = apus_write(2, $0.baseAddress, $0.count) }
    clock.turnBack(to: now)
  }

  /// A line of the trace: ordinal, name, nanoseconds and detail, in columns. The newline is its last byte.
  package static func line(_ ordinal: Int, _ name: String, _ nanoseconds: Int64, _ detail: String) -> String {
    func left(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(width - text.utf8.count, 0))
    }
    func right(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(width - text.utf8.count, 0)) + text
    }
    let line = "\(right("\(ordinal)", 3))  \(left(name, 29)) \(right("\(nanoseconds)", 9)) ns"
    return detail.isEmpty ? line + "\n" : "\(line)  \(detail)\n"
  }
}

/// Nanoseconds since the first instruction of the process's entry point, without those that tracing itself took.
///
/// The entry point stores a tick count, as no clock can be asked there. How long a tick is follows from two pairs
/// (ticks, CLOCK_MONOTONIC) half a millisecond apart: reading a pair is off by some tens of nanoseconds at most, that is
/// one part in ten thousand, and boot takes well under a millisecond. Of three readings of a pair the one that took the
/// fewest ticks counts, so that an interruption between its halves does no harm. All of this assumes that ticks run at
/// one rate and alike on every processor (invariant TSC; aarch64's counter always does). Where the processor does not
/// promise that, or our entry point did not run, times are CLOCK_MONOTONIC's, from `start` on.
package struct BootClock {
  private var zero: Int64 = 0
  private var nanosecondsPerTick = 0.0
  private var excluded: Int64 = 0
  /// Whether ticks are used, and times thus count from the entry point.
  package private(set) var countsFromEntry = false
  private var entryTicks: UInt64 = 0

  /// A clock that has not been started: counts from the time that CLOCK_MONOTONIC counts from.
  package init() {}

  /// Sets zero, to `entryTicks` if that is not 0 and ticks are to be trusted. Takes half a millisecond then.
  package mutating func start(entryTicks: UInt64, ticksAreInvariant: Bool = BootClock.ticksAreInvariant()) {
    let first = Self.readPair()
    zero = first.nanoseconds
    excluded = 0
    guard entryTicks != 0, entryTicks <= first.ticks, ticksAreInvariant else { return }
    var last = first
    repeat { last = Self.readPair() } while last.nanoseconds - first.nanoseconds < 500_000
    guard last.ticks > first.ticks else { return }
    nanosecondsPerTick = Double(last.nanoseconds - first.nanoseconds) / Double(last.ticks - first.ticks)
    self.entryTicks = entryTicks
    countsFromEntry = true
    zero = first.nanoseconds - Int64(Double(first.ticks - entryTicks) * nanosecondsPerTick)
    excluded = apus_nanotime(nil) - first.nanoseconds
  }

  /// The time now.
  package var nanoseconds: Int64 { apus_nanotime(nil) - zero - excluded }

  /// The time at `ticks`, which must be before `start` was called; 0 when ticks are not used.
  package func nanoseconds(atTicks ticks: UInt64) -> Int64 {
    guard countsFromEntry, ticks >= entryTicks else { return 0 }
    return Int64(Double(ticks - entryTicks) * nanosecondsPerTick)
  }

  /// Takes the time since the clock showed `time` back, as if it had stood still.
  package mutating func turnBack(to time: Int64) { excluded += nanoseconds - time }

  /// Whether the processor promises that ticks run at one rate.
  package static func ticksAreInvariant() -> Bool {
    ProcessorFeatures.read(AuxiliaryVector.read()).features.contains(.invariantTSC)
  }

  private static func readPair() -> (ticks: UInt64, nanoseconds: Int64) {
    var best: (ticks: UInt64, nanoseconds: Int64) = (0, 0)
    var fewest = UInt64.max
    for _ in 0..<3 {
      let before = apus_ticks()
      let nanoseconds = apus_nanotime(nil)
      let after = apus_ticks()
      let took = after &- before
      if took < fewest {
        fewest = took
        best = (before &+ took / 2, nanoseconds)
      }
    }
    return best
  }
}
