import CApus
import Synchronization

/// Since when goroutines wait, for the minutes in dumps.
///
/// A goroutine that parks does not look at the clock: that would double the cost of parking. As in Go, where the garbage
/// collector does it (`gcScan` and `waitsince`), somebody comes by from time to time and stamps those who wait and have no
/// stamp yet. What parks, or makes ready, forgets the stamp: it lies in the word of the reason that both store anyway. So a
/// wait has no cost, and appears shorter by up to the time between two scans.
///
/// ## The stamp
///
/// The upper three bytes of `G.waitWord`: a count of units of four seconds, from 1 on, that wraps after two years; 0 for
/// none. The scan writes it by compare-exchange, everybody else stores the whole word. When the exchange succeeds the
/// goroutine waits, for this reason: either still, or again, since a moment ago, which makes no difference.
///
/// ## When
///
/// The template thread scans every twenty seconds while any P is busy, and less often where a scan takes longer than a
/// ten thousandth of that, or where nothing was switched since the last one. Once all Ps are idle it takes note of that
/// under `Sched.lock`, scans a last time (nobody can park any more without a P), and does not scan for as long as it takes;
/// `IdleLists.takeP` wakes it. So a process at rest has no wake-ups for it, and one that keeps stopping and starting three a
/// minute.
enum WaitScan {
  /// The length of a unit, in nanoseconds.
  private static var unit: Int64 { 4_000_000_000 }
  private static var units: UInt32 { 1 << 24 - 1 }
  private static var interval: Int64 { 20_000_000_000 }

  /// What the scan keeps; the template thread's, but for `isAsleep`.
  struct State {
    /// No P is busy, and there is no scan until one is. Under `Sched.lock`.
    var isAsleep = false
    fileprivate var wasAsleep = false
    /// When the next scan is due.
    fileprivate var due: Int64 = 0
    fileprivate var wait = WaitScan.interval
    fileprivate var switches: UInt64 = 0
  }

  /// Scans if it is time to, and tells for how long the thread may sleep, in nanoseconds; -1: until it is woken.
  static func serve(_ m: MRef) -> Int64 {
    let now = Clock.nanotime()
    if sched.pointee.waitScan.wasAsleep {
      if isAsleep(m) { return -1 }
      // Something runs again. Not now: it may be over in a moment, and come again in another.
      sched.pointee.waitScan.wasAsleep = false
      sched.pointee.waitScan.due = now &+ interval
    }
    if sched.pointee.waitScan.due > now { return sched.pointee.waitScan.due &- now }
    stamp(at: now, m)
    let took = Clock.nanotime() &- now
    let switches = countSwitches()
    let isBusy = switches != sched.pointee.waitScan.switches
    sched.pointee.waitScan.switches = switches
    let last = sched.pointee.waitScan.wait
    let wait = max(isBusy ? interval : min(last * 2, 32 * interval), 10_000 * took)
    sched.pointee.waitScan.wait = wait
    sched.pointee.waitScan.due = now &+ wait
    if !fallAsleep(m) { return wait }
    sched.pointee.waitScan.wasAsleep = true
    stamp(at: Clock.nanotime(), m)
    return -1
  }

  private static func isAsleep(_ m: MRef) -> Bool {
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    return sched.pointee.waitScan.isAsleep
  }

  /// Takes note if all Ps are idle.
  private static func fallAsleep(_ m: MRef) -> Bool {
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    let isIdle =
      sched.pointee.idlePCount.load(ordering: .relaxed) == sched.pointee.maxProcs.load(ordering: .relaxed)
    sched.pointee.waitScan.isAsleep = isIdle
    return isIdle
  }

  /// A P becomes busy. The caller holds `Sched.lock`.
  @inline(__always)
  static func noteBusy() {
    if sched.pointee.waitScan.isAsleep { wake() }
  }

  @inline(never)
  private static func wake() {
    sched.pointee.waitScan.isAsleep = false
    TemplateThread.wake()
  }

  /// Stamps who waits and has no stamp. `now`: nanoseconds of the monotonic clock.
  static func stamp(at now: Int64, _ m: MRef) {
    let stamp = UInt32(unitsOf(now)) << 8
    GoroutineRegistry.eachRecord(of: GoroutineRegistry.lockedSlabs(m)) { g in
      if g.pointee.status != .waiting { return }
      let word = g.pointee.waitWord.load(ordering: .relaxed)
      if word == 0 || word >> 8 != 0 { return }
      _ = g.pointee.waitWord.compareExchange(expected: word, desired: word | stamp, ordering: .relaxed)
    }
  }

  /// The whole minutes from the stamp in `word` to `now`.
  static func minutes(of word: UInt32, at now: Int64) -> UInt64 {
    let stamp = word >> 8
    if stamp == 0 { return 0 }
    let units = (UInt32(unitsOf(now)) &+ Self.units &- stamp) % Self.units
    return UInt64(units) * UInt64(unit) / 60_000_000_000
  }

  /// From 1 to `units`.
  private static func unitsOf(_ now: Int64) -> UInt32 {
    UInt32(truncatingIfNeeded: UInt64(bitPattern: now / unit) % UInt64(units)) + 1
  }

  static func countSwitches() -> UInt64 {
    var sum: UInt64 = 0
    Processors.each { sum &+= $0.pointee.switches.load(ordering: .relaxed) }
    return sum
  }
}
