import CApus
import Synchronization

/// Regions in which a goroutine may sleep in the kernel, and says so (Go's `entersyscall` and `exitsyscall`).
///
/// Inside, the P may be taken away at any time: sysmon does so when the region lasts for more than a visit and there is
/// work for the P. Nothing is handed over at the beginning, so a call that returns at once costs two nanoseconds.
///
/// The goroutine stays on its thread. It may use the runtime inside: it gets a P for as long as that takes.
public enum Syscall {
  /// Begins a region. They nest.
  @inline(never)
  public static func enter() {
    let m = acquireM()
    m.pointee.head.told &+= 1
    if let p = m.pointee.p { count(p) }
    if Trace.isOn { Trace.beginSyscall(on: m) }
    releaseM(m)
  }

  /// One more region on `p`: sysmon tells them apart by that.
  @inline(__always)
  static func count(_ p: PRef) {
    p.pointee.syscallTick.store(p.pointee.syscallTick.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  /// Ends a region; waits for a P if the goroutine's was taken. Leaves errno as it is.
  @inline(never)
  public static func exit() {
    let m = acquireM()
    m.pointee.head.told &-= 1
    if Trace.isOn { Trace.endSyscall(on: m) }
    releaseM(m)
  }
}
