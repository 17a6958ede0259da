import Synchronization

/// When an idle thread is woken, and when one that looks for work gives up.
///
/// Work may turn up at any moment on any P, and an idle P must not sleep through it; but waking a thread for every new
/// goroutine would be far too much. So there are *spinning* threads: they have a P and no work, and look for some. A
/// submitter wakes a thread only when a P is idle and nobody spins; a spinner that finds work starts the next spinner
/// before it runs it, if there is an idle P; so the number of working threads grows while there is work to find.
///
/// The race is between a submitter and the last spinner:
///
///     submitter: put the goroutine on a queue;   full barrier;   read `idlePCount`: 0 → nobody could take it
///                                                                read `spinning`: above 0 → leave it to the spinners
///     spinner:   put the P on the idle list, decrement `spinning`;   full barrier;   look at all queues once more
///
/// In any order of these, either the submitter sees the idle P and the decremented count and wakes a thread, or the
/// spinner sees the goroutine. A thread that was not spinning when it gives up its P looks once more too: it is its P
/// that the submitter did not see yet. The barriers: a submission contains a sequentially consistent exchange
/// (`putNext`), store (`putLast`) or store under `Sched.lock` (`GlobalQueue`) that makes a goroutine visible (the one that
/// `putNext` moves from `next` to the ring afterwards was visible before, and the new one tells the second look enough),
/// and `spinning` is read, decremented, and the queues are read in the second look, sequentially consistent too. (Go's
/// HACKING and the essay at the head of proc.go argue the same.)
///
/// A spinner that finds work in its second look but no idle P sets `needSpinning` under `Sched.lock`: a thread that is
/// about to give up its P takes that lock too, sees the flag, and looks again instead.
enum Spinning {
  /// After a submission: starts a spinner if a P is idle and nobody spins.
  @inline(__always)
  static func wakeIfIdle() {
    if sched.pointee.idlePCount.load(ordering: .sequentiallyConsistent) != 0 {
      wake()
    } else if sched.pointee.sysmon.isResting.load(ordering: .sequentiallyConsistent) {
      // Every P has a goroutine: whether one of them is long at it, sysmon has to see.
      Sysmon.poke()
    }
  }

  /// Go's `wakep`.
  @inline(never)
  static func wake() {
    if sched.pointee.spinning.load(ordering: .sequentiallyConsistent) != 0 { return }
    if !sched.pointee.mainStarted.load(ordering: .relaxed) { return }
    let m = acquireM()
    defer { releaseM(m) }
    // One at a time: whoever raises the count from zero owns the wake-up.
    if !sched.pointee.spinning.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent).exchanged {
      return
    }
    sched.pointee.lock.lock(m)
    guard let p = takeIdleP() else {
      sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      sched.pointee.lock.unlock(m)
      return
    }
    Threads.start(p, spinning: true, holdingLockOf: m)
  }

  /// `m`, which has a P, begins to look for work.
  static func start(_ m: MRef) {
    assert(!m.pointee.spinning)
    m.pointee.spinning = true
    sched.pointee.spinning.wrappingAdd(1, ordering: .sequentiallyConsistent)
    sched.pointee.needSpinning.store(false, ordering: .relaxed)
  }

  /// `m` has found work (Go's `resetspinning`): the next one may start looking.
  static func stop(_ m: MRef) {
    m.pointee.spinning = false
    let before = sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent).oldValue
    precondition(before > 0, "the count of spinning threads fell below zero")
    wakeIfIdle()
  }

  /// An idle P for work that was found; asks the next thread that goes idle to look for it where there is none (Go's
  /// `pidlegetSpinning`). The caller holds `Sched.lock`.
  static func takeIdleP() -> PRef? {
    let p = IdleLists.takeP()
    if p == nil { sched.pointee.needSpinning.store(true, ordering: .relaxed) }
    return p
  }
}
