import CApus
import Synchronization

/// What the collector tells of itself (`trace_collections.c`).
extension Trace {
  /// A cycle begins, by the current goroutine, which has the claim on stopping the world.
  @inline(never)
  static func beginCollection() {
    let m = acquireM()
    if m.pointee.p != nil { apus_trace_gc_begin(m.cM) }
    releaseM(m)
  }

  /// The cycle has ended. The world stands still.
  @inline(never)
  static func endCollection(on m: MRef) {
    if m.pointee.p == nil { return }
    apus_trace_gc_end(m.cM)
    heapSize(on: m)
    heapGoal(on: m)
  }

  /// The current goroutine begins to help the collector.
  @inline(never)
  static func beginAssist() {
    let m = acquireM()
    if m.pointee.p != nil { apus_trace_assist_begin(m.cM) }
    releaseM(m)
  }

  /// It has helped.
  @inline(never)
  static func endAssist() {
    let m = acquireM()
    if m.pointee.p != nil { apus_trace_assist_end(m.cM) }
    releaseM(m)
  }

  /// `block` is about to be swept, in a section that `endSweep` ends.
  @inline(never)
  static func beginSweep(on m: MRef) {
    if m.pointee.p != nil { apus_trace_sweep_begin(m.cM) }
  }

  /// `block` was swept; before it had `free` slots.
  @inline(never)
  static func countSweep(of block: BlockRef, free: UInt32, on m: MRef) {
    let bytes = Int(block.pointee.blockCount) * HeapGeometry.blockSize
    let slots = block.pointee.freeSlots > free ? UInt64(block.pointee.freeSlots - free) : 0
    apus_trace_sweep_count(m.cM, UInt64(bytes), slots * UInt64(block.pointee.slotSize))
  }

  @inline(never)
  static func endSweep(on m: MRef) { apus_trace_sweep_end(m.cM) }

  /// The heap has grown or shrunk.
  @inline(never)
  static func heapSize(on m: MRef) {
    if m.pointee.p == nil { return }
    apus_trace_heap_alloc(m.cM, UInt64(max(heap.pointee.pacer.live.load(ordering: .relaxed), 0)))
  }

  /// There is a new goal.
  @inline(never)
  static func heapGoal(on m: MRef) {
    if m.pointee.p == nil { return }
    apus_trace_heap_goal(m.cM, UInt64(max(heap.pointee.pacer.goal.load(ordering: .relaxed), 0)))
  }
}
