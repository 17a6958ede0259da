import CApus
import Synchronization

/// Goroutine 1 (Go's `runtime.main`): the functions registered for the start, the program's own `main`, the exit.
enum MainGoroutine {
  /// As large as the main thread's stack would be (RLIMIT_STACK): a `main` may rely on that.
  static var stackOrder: UInt8 { StackSize.order(of: max(Int(clamping: apus_stack_limit()), StackSize.standard)) }

  /// Makes goroutine 1 runnable. Boot calls it once, on m0. Where m0 has no P, the goroutine is locked to it until it
  /// runs: an async `main` has to begin on the main thread.
  static func spawn(_ arguments: ProgramArguments) {
    let m = currentM()
    let g = Spawn.allocate(stackOrder: stackOrder)
    g.pointee.head.id = Sched.mainID
    apus_main_actor_is(UInt64(Sched.mainID))
    if m.pointee.p == nil { LockedThread.lock(g, to: m) }
    g.payloadAddress.bindMemory(to: ProgramArguments.self, capacity: 1).initialize(to: arguments)
    Spawn.submit(g, Entry { main($0.assumingMemoryBound(to: ProgramArguments.self).move()) })
  }

  private static func main(_ arguments: ProgramArguments) {
    var trace = sched.pointee.bootTrace
    let g = currentM().currentG
    let joinedLate = g.pointee.lockedM != nil
    trace.step("execute", "goroutine \(g.pointee.head.id), running on m\(currentM().pointee.id)")
    trace.step("gogo", "stack [\(Boot.hex(g.pointee.head.stack_lo)), \(Boot.hex(g.pointee.head.stack_hi)))")
    trace.step("main", "runtime.main")
    // Where a link-time initialiser has started the runtime, these run.
    if !sched.pointee.mainStarted.load(ordering: .relaxed) { TemplateThread.start() }
    ReportRequest.takeQuitSignal()
    trace.step("sysmon", "watches the Ps from a thread of its own; the template thread creates threads")
    HeapService.startHelper()
    let period = ForcedCollection.standardPeriod / 1_000_000_000
    trace.step("forcegchelper", "collects after \(period) s without a collection")
    // Main gives way here, and must come back on its own thread. So no other one runs goroutines yet; or it has joined late,
    // and is still locked to its thread.
    Shelver.startIfAsked()
    HeapService.enable()
    trace.step("gcenable", "bgsweep and bgscavenge run, collections are enabled")
    if joinedLate { LockedThread.unlockCurrent() }
    Sysmon.mainStarts()
    TraceOfRun.begin()
    // A hook may wait; `main` has to begin on the main thread all the same.
    LockedThread.lockCurrent()
    let hooks = StartHooks.runAll()
    LockedThread.unlockCurrent()
    trace.step("main_init", "\(hooks) registered functions ran")
    trace.step("main_main", "the program's main")
    sched.pointee.bootTrace = trace
    let status = apus_call_main(arguments.count, arguments.values, UnsafePointer(arguments.environment))
    sched.pointee.bootTrace.step("exit", "status \(status)")
    apus_exit(status)
  }
}
