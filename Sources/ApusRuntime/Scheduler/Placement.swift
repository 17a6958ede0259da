import CApus
import Synchronization

/// Whether a thread that hands over its P and sleeps has the other one go on on its own CPU (wake.c).
///
/// Only where there is a CPU for each P: with fewer the CPU may be wanted by others, and the kernel knows better. And only
/// with more than one P: with one, nobody else computes where the other thread fell asleep.
enum Placement {
  /// Finds out whether it can be done at all. Once, by the template thread `m`: system calls that no start waits for.
  ///
  /// GODEBUG=placementoff=1 is for sandboxes that end a process which changes an affinity: they cannot be asked before.
  static func prepare(_ m: MRef) {
    if sched.pointee.knobs.placementoff != 0 || MaxProcs.cpuCount == 1 || !apus_placement_prepare() { return }
    sched.pointee.lock.lock(m)
    sched.pointee.canPlaceWakes = true
    updateLocked()
    sched.pointee.lock.unlock(m)
  }

  /// The number of Ps may be another one. The caller holds `Sched.lock`, or is boot.
  static func updateLocked() {
    let isWanted = sched.pointee.canPlaceWakes && sched.pointee.maxProcs.load(ordering: .relaxed) > 1
    sched.pointee.head.placesWakes.store(isWanted && MaxProcs.haveCPUs() ? 1 : 0, ordering: .releasing)
  }
}
