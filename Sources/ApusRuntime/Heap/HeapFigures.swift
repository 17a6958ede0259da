import Synchronization

/// The heap's figures and knobs, for `ManagedHeap`. Each figure is right for its own moment.
package struct HeapFigures: Sendable {
  package private(set) var liveBytes = 0
  package private(set) var goal = 0
  package private(set) var usedBytes = 0
  package private(set) var residentBytes = 0
  package private(set) var scavengedBytes = 0
  package private(set) var allocatedBytes = 0
  package private(set) var freedBytes = 0
  package private(set) var roots = 0
  package private(set) var collections = 0
  package private(set) var forcedCollections = 0
  /// Nanoseconds.
  package private(set) var pauseTotal: Int64 = 0
  package private(set) var worstPause: Int64 = 0
  package private(set) var markTime: Int64 = 0
  package private(set) var scavengeTime: Int64 = 0
  /// The pauses of the last cycles, the latest first.
  package private(set) var pauses: [Int64] = []

  package static func now() -> HeapFigures {
    LazyStart.ensure()
    var figures = HeapFigures()
    figures.liveBytes = max(heap.pointee.pacer.live.load(ordering: .relaxed), 0)
    figures.goal = heap.pointee.pacer.goal.load(ordering: .relaxed)
    figures.usedBytes = PageHeap.usedBlocks * HeapGeometry.blockSize
    figures.residentBytes = PageHeap.residentBlocks * HeapGeometry.blockSize
    figures.scavengedBytes = heap.pointee.scavenger.releasedBytes.load(ordering: .relaxed)
    figures.scavengeTime = heap.pointee.scavenger.spent.load(ordering: .relaxed)
    figures.roots = heap.pointee.roots.count.load(ordering: .relaxed)
    var pauses = InlineArray<256, Int64>(repeating: 0)
    var count = 0
    let m = currentM()
    let totals = HeapTotals.totals
    totals.pointee.lock.lock(m)
    figures.collections = totals.pointee.cycles
    figures.forcedCollections = totals.pointee.forced
    figures.pauseTotal = totals.pointee.pauseTotal
    figures.worstPause = totals.pointee.worstPause
    figures.markTime = totals.pointee.markTime
    figures.freedBytes = totals.pointee.freedBytes
    figures.allocatedBytes = totals.pointee.freedBytes + figures.liveBytes
    count = totals.pointee.copyPauses(to: &pauses)
    totals.pointee.lock.unlock(m)
    figures.pauses = (0..<count).map { pauses[$0] }
    return figures
  }
}

/// What programs ask of the collector.
package enum HeapKnob {
  /// A whole collection; see `Collector.collect`. A thread that is no goroutine's has to ask from a goroutine.
  package static func collect() { Collector.collect() }

  /// The same, and then everything that is free goes back to the kernel, stacks too.
  package static func releaseMemory() {
    Collector.collect()
    Scavenger.releaseAll()
    StackPools.releaseAll()
  }

  /// GOGC; below zero: off.
  package static var percent: Int {
    get {
      LazyStart.ensure()
      return heap.pointee.pacer.percent.load(ordering: .relaxed)
    }
    set {
      LazyStart.ensure()
      let percent = min(max(newValue, -1), Int(Int32.max))
      StopTheWorld.run(for: .knobsOfCollector) { m in
        heap.pointee.pacer.configure(percent: percent, limit: heap.pointee.pacer.limit.load(ordering: .relaxed))
        if Trace.isOn { Trace.heapGoal(on: m) }
      }
    }
  }

  /// GOMEMLIMIT in bytes; `Int.max`: none.
  package static var limit: Int {
    get {
      LazyStart.ensure()
      return heap.pointee.pacer.limit.load(ordering: .relaxed)
    }
    set {
      LazyStart.ensure()
      StopTheWorld.run(for: .knobsOfCollector) { m in
        heap.pointee.pacer.configure(
          percent: heap.pointee.pacer.percent.load(ordering: .relaxed), limit: max(newValue, 0))
        if Trace.isOn { Trace.heapGoal(on: m) }
      }
    }
  }
}
