import Synchronization

/// The scheduler's figures, for `Runtime.schedulerStatistics`. Each is right for its own moment; only those that
/// `Sched.lock` protects belong together.
package struct SchedulerFigures: Sendable {
  package private(set) var threads = 0
  package private(set) var idleThreads = 0
  package private(set) var spinningThreads = 0
  package private(set) var preemptedThreads = 0
  package private(set) var processors = 0
  package private(set) var idleProcessors = 0
  package private(set) var globalQueueLength = 0
  package private(set) var idleStacks = 0
  package private(set) var goroutines = 0
  package private(set) var systemGoroutines = 0
  package private(set) var switches: UInt64 = 0
  package private(set) var steals: UInt64 = 0
  package private(set) var handoffs: UInt64 = 0
  package private(set) var preemptions: UInt64 = 0
  package private(set) var untoldBlocks: UInt64 = 0
  package private(set) var syscallRetakes: UInt64 = 0
  /// Nanoseconds.
  package private(set) var worstStopTheWorld: Int64 = 0

  /// Starts the runtime if nothing has.
  package static func now() -> SchedulerFigures {
    var figures = SchedulerFigures()
    let m = currentM()
    sched.pointee.lock.lock(m)
    figures.threads = Int(sched.pointee.threadCount)
    figures.idleThreads = Int(sched.pointee.head.idleMCount.load(ordering: .relaxed))
    figures.idleProcessors = Int(sched.pointee.idlePCount.load(ordering: .relaxed))
    figures.globalQueueLength = sched.pointee.global.count
    figures.preemptedThreads = sched.pointee.preempted.count.load(ordering: .relaxed)
    figures.spinningThreads = Int(sched.pointee.spinning.load(ordering: .relaxed))
    figures.processors = Int(sched.pointee.maxProcs.load(ordering: .relaxed))
    sched.pointee.lock.unlock(m)
    for index in 0..<Sched.processorLimit {
      guard let p = sched.pointee.allP[index] else { break }
      figures.switches += p.pointee.switches.load(ordering: .relaxed)
      figures.steals += p.pointee.steals.load(ordering: .relaxed)
    }
    figures.idleStacks = StackPools.idleCount
    figures.goroutines = GoroutineRegistry.liveCount
    GoroutineRegistry.eachRecord(of: GoroutineRegistry.lockedSlabs(m)) { g in
      if g.pointee.kind == .system && g.pointee.status != .dead { figures.systemGoroutines += 1 }
    }
    figures.handoffs = sched.pointee.handoffs.load(ordering: .relaxed)
    figures.preemptions = sched.pointee.head.preemptions.load(ordering: .relaxed)
    figures.untoldBlocks = sched.pointee.untoldBlocks.load(ordering: .relaxed)
    figures.syscallRetakes = sched.pointee.syscallRetakes.load(ordering: .relaxed)
    figures.worstStopTheWorld = sched.pointee.worstStop.load(ordering: .relaxed)
    return figures
  }
}
