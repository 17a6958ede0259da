import CApus
import Synchronization

/// Taking the P of a thread that sleeps in the kernel, and noticing it there (Go's `entersyscall`, `exitsyscall` and the
/// syscall half of `retake`; in Go the thread says when it enters the kernel, here it need not).
///
/// The owner pays plain instructions only: it raises `locks`, and reads `claim`. The other side pays for the order:
///
///     owner, entering the runtime:   locks = 1;   (compiler barrier);   read claim
///     thief:                         claim: HELD → CLAIMED_BY_…;   barrier on the owner's CPU;   read locks
///
/// If the owner read HELD, its read came before the thief's exchange, so its store to `locks`, which is older, is visible
/// to the thief behind the barrier: the thief gives up. If it read a claim, it takes it back by compare-exchange; one of
/// this and the thief's CLAIMED_BY_… → LOST fails. If it read LOST, its P is gone, and it waits for another one.
///
/// There are two thieves, sysmon and whoever stops the world, each with a value of its own: a claim that the owner took
/// back, and the other one made anew, must not be carried through on what was seen before.
///
/// The barrier is membarrier(2), which interrupts every CPU that runs a thread of this process. For a thread that did not
/// say that it sleeps, the kernel is asked whether it does, again, after the exchange: that question is answered under the
/// lock of the run queue through which the thread left its CPU and will get one again, so it is a barrier too.
///
/// `M.p` is cleared by the thief in the same critical section of `Sched.lock` in which it makes the claim LOST. Whoever
/// gives the owner a new P takes that lock first, so the two cannot pass each other.
@usableFromInline
enum Claim {
  /// The thread of `m` has entered the runtime, and `claim` was not HELD. Returns when it has its P, or another.
  @usableFromInline
  @inline(never)
  static func reenter(_ m: MRef) {
    // Deeper inside it was seen to already, and is seen to now: `regain` takes a lock.
    if m.pointee.head.locks != 1 { return }
    let error = apus_errno_save()
    var claim = m.pointee.words.claim.load(ordering: .acquiring)
    while claim != value(.held) && claim != value(.lost) {
      let result = m.pointee.words.claim.compareExchange(
        expected: claim, desired: value(.held), ordering: .acquiringAndReleasing)
      claim = result.exchanged ? value(.held) : result.original
    }
    if claim == value(.lost) { regain(m) }
    apus_errno_restore(error)
  }

  /// The thread of `m` waits for a P.
  private static func regain(_ m: MRef) {
    sched.pointee.lock.lock(m)
    if !StopTheWorld.isStopping, let p = IdleLists.takeFreeP() {
      Processors.give(p, to: m)
      sched.pointee.lock.unlock(m)
      return
    }
    StoppedThreads.enqueueReturning(m)
    sched.pointee.lock.unlock(m)
    Sysmon.poke()
    apus_m_wait_for_p(m.cM)
  }

  /// Takes `p` from `m`, whose thread sleeps in the kernel: because it `told` so, or because the kernel says so. False
  /// when it does not, or is just coming back. `state`: the claim of the caller, whose M is `thief`.
  static func take(_ p: PRef, from m: MRef, told: Bool, as state: State, on thief: MRef) -> Bool {
    guard apus_m_peek_locks(m.cM) == 0,
      m.pointee.words.claim.compareExchange(
        expected: value(.held), desired: value(state), ordering: .sequentiallyConsistent
      ).exchanged
    else { return false }
    let sleeps: Bool
    if told {
      sleeps = ThreadBarrier.run() && apus_m_peek_told(m.cM) != 0
    } else {
      sleeps = ThreadState.sleepsInOrder(m)
    }
    sched.pointee.lock.lock(thief)
    defer { sched.pointee.lock.unlock(thief) }
    guard sleeps, apus_m_peek_locks(m.cM) == 0, apus_m_peek_p(m.cM) == UnsafeMutableRawPointer(p) else {
      _ = m.pointee.words.claim.compareExchange(
        expected: value(state), desired: value(.held), ordering: .acquiringAndReleasing)
      return false
    }
    guard
      m.pointee.words.claim.compareExchange(
        expected: value(state), desired: value(.lost), ordering: .sequentiallyConsistent
      ).exchanged
    else { return false }
    if Trace.isOn { apus_trace_robbed(m.cM) }
    m.pointee.p = nil
    p.pointee.m = nil
    p.pointee.status = .idle
    return true
  }

  /// The values of `MWords.claim`.
  enum State {
    case held, claimedBySysmon, claimedByStopper, lost
  }

  @inline(__always)
  static func value(_ state: State) -> UInt32 {
    switch state {
    case .held: UInt32(APUS_P_HELD)
    case .claimedBySysmon: UInt32(APUS_P_CLAIMED_BY_SYSMON)
    case .claimedByStopper: UInt32(APUS_P_CLAIMED_BY_STOPPER)
    case .lost: UInt32(APUS_P_LOST)
    }
  }
}
