import Synchronization

/// How many Ps there are (Go's `GOMAXPROCS`), as the public API asks for it and changes it. Each starts the runtime if
/// nothing has.
package enum MaxProcs {
  package static var current: Int {
    LazyStart.ensure()
    return Int(sched.pointee.maxProcs.load(ordering: .relaxed))
  }

  /// Changes it while the world stands still. Below 1 it is left as it is; above `Sched.processorLimit` it is that.
  package static func set(_ count: Int) {
    if count < 1 || count == current { return }
    StopTheWorld.run { _ in sched.pointee.nextMaxProcs = min(count, Sched.processorLimit) }
    if Trace.isOn { Trace.countProcs() }
  }

  /// The CPUs that the process might use when it started, which is what it begins as.
  package static var cpuCount: Int {
    LazyStart.ensure()
    return sched.pointee.facts.cpuCount
  }

  /// Whether there is a CPU for each P, and for `others` besides: then a thread may spin for a moment without keeping one
  /// from another. For the runtime, which has started.
  static func haveCPUs(besides others: Int = 0) -> Bool {
    Int(sched.pointee.maxProcs.load(ordering: .relaxed)) + others <= sched.pointee.facts.cpuCount
  }
}
