import Synchronization

/// Goroutines that keep their thread (Go's `LockOSThread`, `stoplockedm`, `startlockedm`).
package enum LockedThread {
  /// Locks the current goroutine to its thread, once more. On a foreign thread it is locked for ever already.
  package static func lockCurrent() {
    let m = acquireM()
    if !m.pointee.isForeign { lock(m.currentG, to: m) }
    releaseM(m)
  }

  /// Takes one `lockCurrent` back; without one it does nothing.
  package static func unlockCurrent() {
    let m = acquireM()
    if !m.pointee.isForeign && m.pointee.lockCount != 0 { unlock(m.currentG, from: m) }
    releaseM(m)
  }

  static func lock(_ g: GRef, to m: MRef) {
    m.pointee.lockCount += 1
    g.pointee.lockedM = m
    g.pointee.careBits.bitwiseOr(G.isLocked, ordering: .relaxed)
    m.pointee.lockedG = g
  }

  static func unlock(_ g: GRef, from m: MRef) {
    m.pointee.lockCount -= 1
    if m.pointee.lockCount > 0 { return }
    g.pointee.lockedM = nil
    g.pointee.careBits.bitwiseAnd(~G.isLocked, ordering: .relaxed)
    m.pointee.lockedG = nil
  }

  /// The M's locked goroutine waits: gives the P away and sleeps until another M has picked the goroutine and hands over
  /// its P (Go's `stoplockedm`).
  static func waitForTurn(_ m: MRef) {
    if m.pointee.p != nil { Processors.handOff(Processors.release(m), from: m, leavesCPU: true) }
    sched.pointee.lock.lock(m)
    sched.pointee.deadlock.lockedIdle += 1
    DeadlockDetector.checkAndUnlock(m)
    Threads.sleepUntilHandedP(m)
  }

  /// `m` picked `g`, which only `owner` may run: hands its P over and goes idle (Go's `startlockedm`).
  static func handOver(_ g: GRef, to owner: MRef, from m: MRef) {
    let p = Processors.release(m)
    assert(owner.pointee.nextP == nil, "two Ps for one locked goroutine")
    owner.pointee.nextP = p
    // Counted as running before it is woken, and perhaps before it counts itself as idle: the sum is right in between.
    sched.pointee.lock.lock(m)
    sched.pointee.deadlock.lockedIdle -= 1
    sched.pointee.lock.unlock(m)
    owner.wakeUp(leavesCPU: true)
    Threads.stop(m)
  }
}
