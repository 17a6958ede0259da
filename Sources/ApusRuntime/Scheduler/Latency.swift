import Synchronization

/// How long goroutines are ready before they run, and wait for locks: a sample, taken from every goroutine in turn (what
/// Go's `casgstatus` does besides).
///
/// To look at the clock costs more than a switch. So each goroutine counts how often it stopped running, and one time of
/// `period` is a sample, from there until it runs again: one of 64, for which the count has room, if chance takes it, one of
/// four. It begins to count at a number that is as good as random, so that a short life is sampled anywhere. Go does it one
/// time of eight. A sample takes some 150 ns, and a switch with all that belongs to it 20 to 40: so it would add half.
///
/// ## Where it lies
///
/// All that is read when nothing is sampled lies in bytes of G that are written anyway. The count is in the upper bits of
/// the byte that has the kind, so its overflow is the processor's carry. The mark is in the byte of the state
/// (`G.isTimed`), and comes and goes with it. The time at which a marked goroutine was made ready lies in its waiter, where
/// the link back would (`Waiter.readyTime`): whoever is ready is in no queue of waiters.
///
/// Whoever may write the state may write these, too; they follow it from hand to hand.
enum Latency {
  /// One of so many times is a sample.
  static var period: Int64 { 64 * Int64(choices) }

  /// What is added to `G.kindAndTurns` each time; it overflows at one of 64.
  private static var turn: UInt8 { 4 }
  private static var choices: UInt32 { 4 }

  /// Counts that `g` stops running; true when that is a sample. The caller is in the runtime.
  @inline(__always)
  static func isSample(_ g: GRef) -> Bool {
    let (turns, overflow) = g.pointee.kindAndTurns.load(ordering: .relaxed).addingReportingOverflow(turn)
    g.pointee.kindAndTurns.store(turns, ordering: .relaxed)
    return overflow && isChosen()
  }

  @inline(never)
  private static func isChosen() -> Bool {
    currentMOrNil().unsafelyUnwrapped.randomBits() % choices == 0
  }

  /// Makes `g`, which has run or is new, runnable.
  @inline(__always)
  static func makeReady(_ g: GRef) {
    if isSample(g) {
      time(g)
      g.pointee.statusWord.store(GStatus.runnable.rawValue | G.isTimed | G.isSampled, ordering: .relaxed)
    } else {
      g.pointee.setStatus(.runnable)
    }
  }

  /// Makes `g`, which waits, runnable, and forgets what it has waited for.
  @inline(__always)
  static func makeReadyAfterWait(_ g: GRef) {
    assert(g.pointee.status == .waiting, "ready of a goroutine that does not wait")
    g.pointee.waitReason = .none
    // Only the state changes. Its stack stays as it is until it runs, and if it was scanned, it stays so, marked or not.
    let word =
      g.pointee.statusWord.load(ordering: .relaxed) ^ GStatus.waiting.rawValue ^ GStatus.runnable.rawValue
    if word & G.marksMask != 0 { time(g) }
    g.pointee.statusWord.store(word, ordering: .relaxed)
  }

  /// `g`, which is marked, is ready from now on.
  @inline(never)
  private static func time(_ g: GRef) {
    g.pointee.waiter.readyTime = Clock.nanotime()
  }

  /// Makes `g`, which is runnable, or has been running all the time on a thread that had lost its P, the running goroutine
  /// of `p`'s holder.
  @inline(__always)
  static func makeRunning(_ g: GRef, on p: PRef) {
    if g.pointee.statusWord.load(ordering: .relaxed) & G.isSampled != 0 { record(g, on: p) }
    g.pointee.setStatus(.running)
  }

  @inline(never)
  private static func record(_ g: GRef, on p: PRef) {
    p.pointee.latencies.record(Clock.nanotime() &- g.pointee.waiter.readyTime)
  }
}

extension Waiter {
  /// When the goroutine was made ready, in nanoseconds, if that was noted (`G.isTimed`). It lies where the link back would:
  /// until the goroutine waits again, nobody asks for that.
  var readyTime: Int64 {
    get { Int64(Int(bitPattern: previous)) }
    set { previous = UnsafeMutablePointer(bitPattern: Int(newValue)) }
  }
}
