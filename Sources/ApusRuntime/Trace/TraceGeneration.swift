import CApus
import Synchronization

/// The beginning and end of generations, while the world stands still.
///
/// Threads without a P may still make goroutines ready, give a P to a stopped thread or wait for one: those do so under
/// `Sched.lock`, which is held here. What they do without it the reader is told later (CApusTrace.h, "What the reader
/// believes").
enum TraceGeneration {
  /// Begins a session: says of every goroutine and P what it does, and switches tracing on.
  static func beginSession(on m: MRef) {
    sched.pointee.lock.lock(m)
    apus_trace_begin()
    let slabs = GoroutineRegistry.lockedSlabs(m)
    eachThread { apus_trace_forget($0.cM) }
    eachThread { adopt($0) }
    let mask = apus_shelf_hold_signals()
    GoroutineRegistry.eachRecord(of: slabs) { g in
      switch g.pointee.status {
      case .waiting: apus_trace_adopt(g.cHead, UInt32(APUS_TRACE_WAITING))
      case .runnable: apus_trace_adopt(g.cHead, UInt32(APUS_TRACE_RUNNABLE))
      // Its thread was looked at; one without a thread, which has ended under it, is never heard of again.
      case .running, .dead: break
      }
    }
    apus_shelf_let_signals(mask)
    apus_trace_adopt_collection(apus_is_marking() != 0)
    tell(slabs, on: m)
    apus_trace_switch(true)
    if m.pointee.p != nil { Trace.countProcs(on: m) }
    sched.pointee.lock.unlock(m)
  }

  /// Ends the generation and begins the next. The last buffers of the one that ends are the caller's. False when that is
  /// not possible now: the collector marks, and nobody runs who could say so.
  static func advance(on m: MRef, last: inout UnsafeMutablePointer<apus_trace_buffer>?) -> Bool {
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    if apus_trace_has_collection() && runningThread() == nil { return false }
    flush()
    last = apus_trace_take_full()
    tell(GoroutineRegistry.lockedSlabs(m), on: m)
    return true
  }

  /// Switches tracing off, and hands the last buffers to the thread that writes.
  static func endSession(on m: MRef) {
    sched.pointee.lock.lock(m)
    if m.pointee.p != nil { apus_trace_stop_end(m.cM) }
    apus_trace_switch(false)
    flush()
    sched.pointee.lock.unlock(m)
  }

  /// Hands all unfinished buffers to the thread that writes.
  static func flush() {
    eachThread { apus_trace_flush($0.cM) }
    apus_trace_flush_nobodys()
  }

  /// What the thread of `m` has when the trace begins.
  private static func adopt(_ m: MRef) {
    let g = m.currentG
    guard g.pointee.kind == .user || g.pointee.kind == .system else { return }
    if let p = m.pointee.p {
      apus_trace_adopt_running(m.cM, p.cHead, g.cHead)
    } else if g.pointee.status == .running {
      // In the kernel, or on its way to wait for a P.
      apus_trace_adopt_running(m.cM, nil, g.cHead)
    }
  }

  /// Begins a generation and says what everybody does.
  private static func tell(_ slabs: UnsafeMutablePointer<GoroutineRegistry.SlabHeader>?, on m: MRef) {
    apus_trace_advance()
    eachThread { apus_trace_status_of_thread($0.cM, m.cM) }
    tellOfHeap()
    Processors.each { apus_trace_status_of_p($0.cHead) }
    let mask = apus_shelf_hold_signals()
    defer { apus_shelf_let_signals(mask) }
    GoroutineRegistry.eachRecord(of: slabs) { g in
      if g.pointee.status != .dead { apus_trace_status_of_g(g.cHead) }
    }
  }

  /// Says whether a cycle is on, and how large the heap is.
  private static func tellOfHeap() {
    let runner = runningThread()
    apus_trace_status_of_collection(runner?.cM)
    if let runner, Collector.collector.pointee.lastEnd.load(ordering: .relaxed) != 0 {
      Trace.heapSize(on: runner)
      Trace.heapGoal(on: runner)
    }
  }

  /// A thread that has a goroutine running in the eyes of the reader.
  private static func runningThread() -> MRef? {
    var threads = ThreadRecords()
    while let m = threads.next() {
      if apus_trace_has_running(m.cM) { return m }
    }
    return nil
  }

  private static func eachThread(_ body: (MRef) -> Void) {
    var threads = ThreadRecords()
    while let m = threads.next() { body(m) }
  }
}
