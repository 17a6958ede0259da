import CApus
import Synchronization

/// Start-up, from the entry point to `main`, in the order of Go's `rt0_go` and `schedinit`.
///
/// `Sources/CApus/Boot/entry_*.S` saves the kernel's stack pointer and has libc call `rt0_main` in place of `main`. Here the
/// process is looked at, the scheduler is made, and goroutine 1 becomes the program's unchanged `main`. Where another
/// entry point ran, `LazyStart` does the same at the first use, without a goroutine for `main`.
enum Boot {
  /// The whole start on the main thread. Never returns: the process ends when goroutine 1 does.
  static func start(_ arguments: ProgramArguments) -> Never {
    var trace = BootTrace(environment: arguments.environment)
    trace.step(
      entryName, atTicks: apus_get_entry_ticks(), "entry \(hex(apus_entry_address())), sp \(hex(apus_get_initial_sp()))"
    )
    trace.step("rt0_go", "argc \(arguments.count), libc and the Swift runtime are up")
    let bounds = Thread.stackBounds
    let here = apus_frame_pointer()
    trace.step(
      "stackguard", "g0 on the system stack [\(hex(bounds.lo)), \(hex(bounds.hi))), sp \(hex(here))")
    // A link-time initialiser may have used the runtime: then it runs already, without m0.
    apus_start_lock()
    let m = apus_is_started() ? joinLate(&trace) : initialize(&trace, mainThread: true)
    apus_set_started()
    apus_start_unlock()
    startMain(arguments, on: m, &trace)
    trace.step("mstart", "m0 on thread \(m.pointee.head.tid)")
    trace.step("mstart1", "g0 is the main thread's stack; minit, then its loop")
    installHandlers(isGuest: false)
    Threads.initialize(m, stack: bounds)
    trace.step(
      "minit",
      "signal stack \(m.pointee.head.signal_stack_size) bytes, trap handlers installed, exclusivity list "
        + place(of: UnsafeRawPointer(m.pointee.accessListHead), or: "by functions") + ", current task "
        + place(of: UnsafeRawPointer(m.pointee.taskWord), or: "by function") + ", task-local values "
        + place(of: UnsafeRawPointer(m.pointee.taskLocalsWord), or: "not found"))
    let queued = m.pointee.p.map { $0.pointee.queue.count } ?? 0
    trace.step("schedule", "local queue \(queued), global queue \(sched.pointee.global.count)")
    sched.pointee.bootTrace = trace
    // On g0 a thread is always in the runtime.
    m.enter()
    Schedule.loop(m)
    // The program locked its main goroutine to the main thread and ended it without ending the process.
    Threads.end(m)
    fatalError("m0's thread came back")
  }

  /// Everything up to a scheduler that could run a goroutine. Returns the calling thread's M: m0 with P0 on the main
  /// thread, else one without a P.
  static func initialize(_ trace: inout BootTrace, mainThread: Bool) -> MRef {
    let vector = AuxiliaryVector.read()
    let features = ProcessorFeatures.read(vector)
    if features.isTooOld {
      BootMessage.report { $0.add("this processor lacks instructions that the program is compiled for") }
      apus_exit_now(1)
    }
    trace.step(
      "cpuinfo",
      "\(features.vendor), XSAVE area \(features.xsaveAreaSize) bytes, cache line \(features.cacheLineSize): "
        + features.description)

    let m = ThreadRecord.map().m
    LayoutCheck.verifyThreadLocal(m)
    trace.step("settls", "wrote 0x123 by way of thread-local storage and read it back")
    LayoutCheck.check(m)
    trace.step("check", "offsets of G and M agree, 64-bit compare-exchange works")

    let environment = ProcessEnvironment(vector)
    trace.step("args", "\(environment.argumentCount) arguments, \(environment.environmentCount) variables")
    trace.step(
      "sysargs",
      "\(vector.count) auxiliary entries: AT_PAGESZ \(vector.pageSize), AT_RANDOM at "
        + "\(hex(UInt(bitPattern: vector.random))), AT_MINSIGSTKSZ \(vector.minSignalStackSize)")
    let vdso = VirtualSharedObject(header: vector.sysinfoEHDR)
    trace.step(
      "vdso_init_from_sysinfo_ehdr",
      vdso.map { "AT_SYSINFO_EHDR \(hex($0.loadStart)), \($0.loadEnd - $0.loadStart) bytes" } ?? "no vDSO: libc's clock"
    )
    if let vdso { apus_set_clock_function(vdso.clockGettime) }
    trace.step("vdso_parse_symbols", vdso.map(describe) ?? "none")

    var facts = MachineFacts()
    facts.startNanoseconds = Clock.nanotime()
    trace.step("osinit", "page \(vector.pageSize) bytes, huge page \(HugePage.readSize()) bytes")
    let processors = ProcessorCount.read(
      processorsAreSet: environment.value(of: "GOMAXPROCS") != nil, alwaysReadsQuota: trace.isOn)
    facts.cpuCount = processors.affinity
    trace.step("getproccount", "\(processors.affinity) in the affinity mask, quota " + describe(processors))
    facts.pageSize = vector.pageSize
    // Before Linux 5.14 the kernel does not say how large a signal frame is: the registers, and a kilobyte for the rest.
    facts.signalStackSize = SignalStack.size(
      minimum: vector.minSignalStackSize > 0 ? vector.minSignalStackSize : features.xsaveAreaSize + 1024,
      page: vector.pageSize)

    // From here on Go calls it `schedinit`.
    trace.step("schedinit", "at most 10000 threads")
    trace.step("tracebackinit", "goroutines end at goexit, \(hex(goexitAddress))")
    let modules = ModuleData.collect()
    if case .failed(let reason) = modules.verify(entry: vector.entry) { FatalReport.fatalError(reason) }
    trace.step(
      "moduledataverify", "\(modules.imageCount) images, \(modules.count) text ranges sorted and disjoint, entry inside"
    )

    let knobs = Knobs(environment: environment.environment, isSecure: vector.isSecure)
    facts.seed = seed(vector, knobs)
    makeScheduler(facts, knobs, modules)
    let stackSize = 1 << Int(sched.pointee.stackPools.defaultOrder)
    trace.step("stackinit", "\(stackSize) bytes a goroutine, guards of \(StackRegion.guardSize)")
    heap.pointee.reserve()
    trace.step("mallocinit", describeHeap())
    sched.pointee.threadCount = mainThread ? 1 : 0
    sched.pointee.nextMID = 1
    sched.pointee.deadlock.isOn = mainThread
    sched.pointee.head.asyncPreemptOff.store(knobs.asyncpreemptoff == 0 ? 0 : 1, ordering: .relaxed)
    // While there is one thread this costs nothing; later it waits for all of them.
    if apus_membarrier_register() == 0 {
      sched.pointee.hasThreadBarrier.store(true, ordering: .relaxed)
    } else {
      sched.pointee.threadStateSource.store(ThreadState.Source.none.rawValue, ordering: .relaxed)
    }
    Threads.register(m, id: mainThread ? 0 : -1)
    Threads.makeCurrent(m)
    trace.step("mcommoninit", "m\(m.pointee.id) on allm, random state seeded")
    trace.step("alginit", "seed \(hex(UInt(facts.seed))) from " + (knobs.seed == nil ? "AT_RANDOM" : "GODEBUG"))
    heap.pointee.types.prepare()
    trace.step("typelinksinit", "table of the managed heap's types, \(HeapTypes.typeCount) known")
    Metadata.prepare()
    trace.step("itabsinit", "what a print looks up of metadata and conformances: by the template thread, beside main")
    _ = apus_signal_mask_save(&sched.pointee.facts.signalMask)
    // A parent that has blocked the preemption signal did not mean us. Nor SIGSEGV: the kernel kills a process that faults
    // while it is blocked, without a report, and where a stack is kept elsewhere a fault is no mistake (`Shelf`).
    sched.pointee.facts.signalMask &= ~(1 << UInt64(APUS_PREEMPT_SIGNAL - 1) | 1 << 10)
    if mainThread { _ = apus_signal_mask_set(&sched.pointee.facts.signalMask) }
    trace.step("msigsave", "signal mask \(hex(UInt(sched.pointee.facts.signalMask)))")
    trace.step("goargs", environment.agreesWithCommandLine() ? "CommandLine agrees" : "CommandLine differs")
    trace.step("goenvs", "\(environment.environmentCount) variables")
    trace.step("parsedebugvars", describe(knobs))
    heap.pointee.pacer.configure(percent: knobs.gcPercent, limit: knobs.memoryLimit)
    trace.step("gcinit", describePacing(knobs))

    let count = knobs.maxProcs > 0 ? knobs.maxProcs : processors.defaultProcessors
    resizeForTheFirstTime(to: min(count, Sched.processorLimit), m, keepsP: mainThread)
    let made = sched.pointee.maxProcs.load(ordering: .relaxed)
    let idle = sched.pointee.idlePCount.load(ordering: .relaxed)
    trace.step("procresize", "GOMAXPROCS=\(made): " + (mainThread ? "P0 → m0, " : "") + "\(idle) idle")
    return m
  }

  /// The main thread becomes m0 of a runtime that has started without it. It has no P: goroutine 1, which is locked to it,
  /// brings one.
  private static func joinLate(_ trace: inout BootTrace) -> MRef {
    let wasForeign = currentMOrNil() != nil
    let m = currentMOrNil() ?? Threads.take(id: 0)
    m.pointee.id = 0
    m.pointee.isForeign = false
    m.g0.pointee.kind = .scheduler
    Threads.makeCurrent(m)
    sched.pointee.lock.lock(m)
    sched.pointee.threadCount += 1
    if wasForeign { sched.pointee.deadlock.foreign -= 1 }
    sched.pointee.deadlock.isOn = true
    sched.pointee.lock.unlock(m)
    trace.step("schedinit", "a link-time initialiser has started the runtime; m0 joins it")
    return m
  }

  /// The handlers of traps and of the preemption signal (Go's `initsig`). `isGuest`: see `installTrapHandlers`.
  static func installHandlers(isGuest: Bool) {
    FatalReport.installTrapHandlers(isGuest: isGuest)
    _ = apus_preempt_install()
  }

  private static func makeScheduler(_ facts: MachineFacts, _ knobs: Knobs, _ modules: ModuleData) {
    let memory = PersistentMemory.map(bytes: MemoryLayout<Sched>.size)
    let order = StackSize.order(of: knobs.stackSize > 0 ? knobs.stackSize : StackSize.standard)
    memory.bindMemory(to: Sched.self, capacity: 1).initialize(
      to: Sched(facts: facts, knobs: knobs, modules: modules, stackOrder: order))
    apus_set_sched(memory)
    LayoutCheck.check(sched.pointee.head)
  }

  private static func resizeForTheFirstTime(to count: Int, _ m: MRef, keepsP: Bool) {
    sched.pointee.lock.lock(m)
    _ = Processors.resize(to: count, for: m, needsP: keepsP)
    sched.pointee.nextMaxProcs = count
    sched.pointee.lock.unlock(m)
  }

  /// `newproc` for goroutine 1.
  private static func startMain(_ arguments: ProgramArguments, on m: MRef, _ trace: inout BootTrace) {
    MainGoroutine.spawn(arguments)
    trace.step("newproc", "goroutine 1 for runtime.main")
    trace.step(
      "newproc1",
      "stack of \(1 << Int(MainGoroutine.stackOrder)) bytes when it first runs, returns to goexit, in "
        + (m.pointee.p == nil ? "the global queue" : "P0's queue"))
  }

  /// AT_RANDOM's sixteen bytes, folded; or the number that the user gave.
  private static func seed(_ vector: AuxiliaryVector, _ knobs: Knobs) -> UInt64 {
    if let seed = knobs.seed { return Seed.mix(seed) }
    guard let random = vector.random else { return Seed.mix(UInt64(bitPattern: Clock.nanotime())) }
    return random.loadUnaligned(as: UInt64.self) ^ random.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
  }
}

/// What the trace says; evaluated only when it is on.
extension Boot {
  private static var entryName: StaticString {
    #if arch(arm64)
      "_rt0_arm64_linux"
    #else
      "_rt0_amd64_linux"
    #endif
  }

  private static var goexitAddress: UInt {
    unsafeBitCast(apus_goexit as @convention(c) () -> Void, to: UInt.self)
  }

  static func hex(_ value: UInt) -> String { "0x" + String(value, radix: 16) }

  private static func place(of word: UnsafeRawPointer?, or missing: String) -> String {
    word.map { "at " + hex(UInt(bitPattern: $0)) } ?? missing
  }

  private static func describe(_ vdso: VirtualSharedObject) -> String {
    func one(_ name: String, _ address: UInt) -> String { "\(name) " + (address == 0 ? "missing" : hex(address)) }
    return [
      one("clock_gettime", vdso.clockGettime), one("gettimeofday", vdso.getTimeOfDay), one("time", vdso.time),
      one("getrandom", vdso.getRandom), vdso.usesGNUHash ? "by DT_GNU_HASH" : "by DT_HASH",
    ].joined(separator: ", ")
  }

  private static func describe(_ processors: ProcessorCount) -> String {
    guard processors.quotaWasRead else { return "not read" }
    return processors.quota.map { "\($0)" } ?? "none"
  }

  private static func describeHeap() -> String {
    let arena = heap.pointee.arena
    if arena.blockLimit == 0 { return "no address space for the managed heap" }
    return "arena of \(arena.blockLimit) blocks of \(HeapGeometry.blockSize) bytes at \(hex(arena.base)), "
      + "\(SizeClasses.count) size classes for arrays, largest slot \(HeapGeometry.largestSlot)"
  }

  private static func describePacing(_ knobs: Knobs) -> String {
    "GOGC=" + (knobs.gcPercent < 0 ? "off" : "\(knobs.gcPercent)") + ", GOMEMLIMIT="
      + (knobs.memoryLimit == Int.max ? "off" : "\(knobs.memoryLimit)") + ", first collection at "
      + "\(heap.pointee.pacer.trigger.load(ordering: .relaxed)) bytes"
  }

  private static func describe(_ knobs: Knobs) -> String {
    "GODEBUG " + knobs.debugDescription + ", GOTRACEBACK=\(knobs.traceback), GOMAXPROCS "
      + (knobs.maxProcs == 0 ? "default" : "\(knobs.maxProcs)") + ", APUS_STACK "
      + (knobs.stackSize == 0 ? "default" : "\(knobs.stackSize)")
  }
}

/// What libc gives to a `main`.
struct ProgramArguments {
  var count: Int32
  var values: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
  var environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
}

/// Called by libc in place of `main`, on the main thread.
@c(rt0_main)
public func rt0Main(
  _ count: Int32, _ values: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  Boot.start(ProgramArguments(count: count, values: values, environment: UnsafePointer(environment)))
}
