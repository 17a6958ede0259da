import Synchronization

/// What the public API asks about processors and goroutines. Each starts the runtime if nothing has.
package enum ProcessorKnob {
  package static var maxProcs: Int {
    LazyStart.ensure()
    return Int(sched.pointee.maxProcs.load(ordering: .relaxed))
  }

  /// Changes the number of Ps while the world stands still (Go's `GOMAXPROCS`).
  package static func setMaxProcs(_ count: Int) {
    if count < 1 || count == maxProcs { return }
    StopTheWorld.run { _ in sched.pointee.nextMaxProcs = min(count, Sched.processorLimit) }
    if Trace.isOn { Trace.countProcs() }
  }

  package static var cpuCount: Int {
    LazyStart.ensure()
    return sched.pointee.facts.cpuCount
  }

  package static var goroutineCount: Int {
    LazyStart.ensure()
    return GoroutineRegistry.liveCount
  }
}
