import CApus
import Synchronization

/// Whether a goroutine that wants a lock should wait for it on its CPU for a moment, before it parks (Go's
/// `runtime_canSpin` and `runtime_doSpin`).
public enum ActiveSpin {
  /// True when the `round`th round of spinning, from 0, may pay: there have been few, the lock's holder can run meanwhile
  /// (another P is busy with something other than looking for work), and nobody else could use this P (nothing is queued).
  public static func isWorthwhile(_ round: Int) -> Bool {
    if round >= 4 || sched.pointee.facts.cpuCount <= 1 { return false }
    let away =
      sched.pointee.idlePCount.load(ordering: .relaxed) &+ sched.pointee.spinning.load(ordering: .relaxed)
    let busy = sched.pointee.maxProcs.load(ordering: .relaxed) &- away
    // A foreign thread holds no P, and keeps nobody from one.
    guard let p = currentM().pointee.p else { return busy > 0 }
    return busy > 1 && OwnerQueue(p).isEmpty
  }

  /// One round: about a third of a microsecond.
  public static func spin() {
    for _ in 0..<30 { apus_spin_hint() }
  }
}
