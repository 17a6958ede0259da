import Synchronization

/// The collection after two minutes without one (Go's `forcegchelper`, and sysmon's row "forced GC"): what died since the
/// last one is found even if nobody allocates, and memory goes back to the kernel.
package enum ForcedCollection {
  /// Go's `forcegcperiod`.
  package static var standardPeriod: Int64 { 120_000_000_000 }

  /// Whether it is time, at `now` on the monotonic clock: the last cycle has ended, or the heap was first used, long enough
  /// ago. Off with GOGC=off.
  package static func isDue(at now: Int64) -> Bool {
    let collector = Collector.collector
    let last = collector.pointee.lastEnd.load(ordering: .relaxed)
    return last != 0 && now - last > collector.pointee.forcePeriod.load(ordering: .relaxed)
      && heap.pointee.pacer.percent.load(ordering: .relaxed) >= 0
      && !collector.pointee.isRunning.load(ordering: .relaxed)
  }

  /// Makes the helper runnable if it is time. The monitor calls it at each of its rounds; anybody may.
  package static func check(at now: Int64) {
    let collector = Collector.collector
    if isDue(at: now) && !collector.pointee.helperIsAwake.exchange(true, ordering: .acquiringAndReleasing) {
      collector.pointee.helper.release()
    }
  }

  /// The helper's goroutine.
  static func runHelper() {
    let collector = Collector.collector
    while true {
      collector.pointee.helperIsAwake.store(false, ordering: .releasing)
      collector.pointee.helper.acquire(1, .forceCollectionIdle)
      _ = Collector.start(.time)
    }
  }
}
