import CApus
import Synchronization

/// The Ms: made, started, stopped (Go's `newm`, `startm`, `stopm`, `mstart`, `mexit`).
enum Threads {
  /// Gives `p` to a thread: an idle one, else one that is created for it. With `spinning` the caller has counted it in
  /// `Sched.spinning`. The caller holds `Sched.lock` on `m`; it is released. `leavesCPU`: it sleeps next.
  static func start(_ p: PRef, spinning: Bool, holdingLockOf m: MRef, leavesCPU: Bool = false) {
    guard let idle = IdleLists.takeM() ?? SpareThreads.take() else {
      TemplateThread.request(p, spinning: spinning, holdingLockOf: m)
      return
    }
    sched.pointee.lock.unlock(m)
    assert(!idle.pointee.spinning && idle.pointee.nextP == nil, "an idle thread that is not idle")
    idle.pointee.spinning = spinning
    idle.pointee.nextP = p
    idle.wakeUp(leavesCPU: leavesCPU)
  }

  /// Creates a thread, which is counted already; 0 or an errno. Only the template thread calls it.
  static func create(id: Int64) -> Int32 {
    let new = takeForScheduler(id: id)
    return Thread.start({ Threads.threadMain($0) }, UnsafeMutableRawPointer(new))
  }

  /// A record for a thread of the runtime.
  static func takeForScheduler(id: Int64) -> MRef {
    let new = take(id: id)
    new.pointee.isForeign = false
    new.g0.pointee.kind = .scheduler
    // On g0 a thread is always in the runtime.
    new.pointee.head.locks = 1
    return new
  }

  /// A record that nobody uses: that of a thread that has ended, or a new one.
  static func take(id: Int64) -> MRef {
    if let old = ThreadRecord.reuse() {
      old.pointee.forgetThread()
      old.pointee.id = id
      return old
    }
    let new = ThreadRecord.map().m
    register(new, id: id)
    return new
  }

  /// Makes a new record known in `Sched.allM` (Go's `mcommoninit`).
  static func register(_ m: MRef, id: Int64) {
    m.pointee.id = id
    // Threads that are not the scheduler's have no number of their own, and count from the other end.
    m.pointee.random = Seed.derive(
      id >= 0 ? UInt64(id) : ~sched.pointee.unnumbered.wrappingAdd(1, ordering: .relaxed).oldValue)
    var head = sched.pointee.allM.load(ordering: .relaxed)
    while true {
      m.pointee.allLink = head
      let result = sched.pointee.allM.compareExchange(
        expected: head, desired: m, successOrdering: .releasing, failureOrdering: .relaxed)
      if result.exchanged { return }
      head = result.original
    }
  }

  /// Makes `m` the calling thread's.
  static func makeCurrent(_ m: MRef) {
    m.pointee.head.tid = Thread.id
    apus_set_current_m(m.cHead)
  }

  /// What only the thread itself can do (Go's `minit`): the current M, the stack bounds, the signal stack, the exclusivity
  /// list, the current task, the task-local values.
  /// To ask for the `stack` of the main thread costs 40 microseconds: libc reads `/proc/self/maps`.
  static func initialize(_ m: MRef, stack: (lo: UInt, hi: UInt)? = nil) {
    makeCurrent(m)
    let bounds = stack ?? Thread.stackBounds
    m.g0.pointee.head.stack_lo = bounds.lo
    m.g0.pointee.head.stack_hi = bounds.hi
    m.pointee.accessListHead = Exclusivity.findListHead()
    let words = apus_find_task_words()
    m.pointee.taskWord = words.current
    // `G` has room for the values only where it needs one word for the list.
    m.pointee.taskLocalsWord = m.pointee.accessListHead == nil ? nil : words.locals
    SignalStack.install(m)
    apus_timer_slack_minimal()
    _ = apus_cpu_timer_start(m.cM, Slices.ownCPUTime)
    CPUProfiler.threadBegins(m)
    apus_thread_end_arm({ Threads.abandoned($0) }, UnsafeMutableRawPointer(m))
  }

  /// The thread ends under a goroutine that runs on it: somebody called `pthread_exit`, as `dispatch_main` does below an
  /// asynchronous `main`. The goroutine never goes on; its P must. The record stays out of use, since the goroutine may
  /// be locked to it. (The key of this destructor is made at boot, before libdispatch's, whose destructor for the main
  /// thread never returns.)
  private static func abandoned(_ argument: UnsafeMutableRawPointer?) {
    let m = argument.unsafelyUnwrapped.assumingMemoryBound(to: M.self)
    guard currentMOrNil() == m else { return }
    m.enter()
    apus_cpu_timer_stop(m.cM)
    CPUProfiler.threadEnds(m)
    m.pointee.head.told = 0
    if Trace.isOn { Trace.abandon(on: m) }
    m.setCurrent(m.g0)
    if m.pointee.p != nil { Processors.handOff(Processors.release(m), from: m) }
    if m.pointee.id != 0 {
      sched.pointee.lock.lock(m)
      sched.pointee.threadCount -= 1
      DeadlockDetector.checkAndUnlock(m)
    }
    SignalStack.remove(m)
    apus_set_current_m(nil)
  }

  /// The body of every thread but m0's.
  private static func threadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let m = argument.unsafelyUnwrapped.assumingMemoryBound(to: M.self)
    initialize(m)
    Thread.setName("apus-m")
    var mask = sched.pointee.facts.signalMask
    _ = apus_signal_mask_set(&mask)
    TemplateThread.countArrival(m)
    stop(m)
    Schedule.loop(m)
    end(m)
    return nil
  }

  /// The M has nothing to do and no P: sleeps until somebody hands it one (Go's `stopm`). Afterwards it has one, or is to
  /// end (`M.exiting`), since there were idle threads enough for a while.
  static func stop(_ m: MRef) {
    assert(m.pointee.p == nil && !m.pointee.spinning, "a thread stops that has a P or spins")
    sched.pointee.lock.lock(m)
    if let p = TemplateThread.takeP() {
      // A thread is being created for it: this one is quicker.
      m.pointee.spinning = p.pointee.startsSpinning
      sched.pointee.lock.unlock(m)
      Processors.acquire(p, for: m)
      return
    }
    let isSpare = SpareThreads.put(m)
    if !isSpare && m.pointee.id != 0 && IdleThreads.haveBeenTooMany {
      m.pointee.exiting = true
      sched.pointee.lock.unlock(m)
      return
    }
    if !isSpare { IdleLists.put(m) }
    let maySpareIt = !isSpare && IdleThreads.areTooMany
    DeadlockDetector.checkAndUnlock(m)
    if maySpareIt {
      switch IdleThreads.wait(m) {
      case .wanted:
        takeHandedP(m)
        return
      case .ends: return
      case .stays: break
      }
    }
    sleepUntilHandedP(m)
  }

  /// Sleeps until a P is handed over, and takes it.
  static func sleepUntilHandedP(_ m: MRef) {
    m.sleep()
    takeHandedP(m)
  }

  private static func takeHandedP(_ m: MRef) {
    let p = m.pointee.nextP.unsafelyUnwrapped
    m.pointee.nextP = nil
    if p.pointee.m != nil {
      // It comes from a thread that was stopped in its handler, where only the thread's half was done.
      p.pointee.m = nil
      p.pointee.status = .idle
    }
    Processors.acquire(p, for: m)
  }

  /// The thread ends, because the goroutine locked to it has, or because it is one idle thread too many (Go's `mexit`): its
  /// P, if it has one, goes to another thread, its record to the free list. m0's thread cannot end without ending the
  /// process in the eyes of the kernel: it sleeps for ever.
  static func end(_ m: MRef) {
    if m.pointee.p != nil { Processors.handOff(Processors.release(m), from: m, leavesCPU: true) }
    let isMain = m.pointee.id == 0
    apus_cpu_timer_stop(m.cM)
    CPUProfiler.threadEnds(m)
    if !isMain { SignalStack.remove(m) }
    sched.pointee.lock.lock(m)
    sched.pointee.threadCount -= 1
    if isMain { sched.pointee.deadlock.sleepers += 1 }
    DeadlockDetector.checkAndUnlock(m)
    while isMain { apus_sleep_ns(Int64.max) }
    apus_set_current_m(nil)
    m.pointee.head.locks = 0
    ThreadRecord.free(m)
  }
}

/// Every M that there is or was, the newest first: of each kind, threads that have ended and those that are not the
/// runtime's too. New ones may be missing. A walk needs no lock, since nothing is taken off.
///
/// No `IteratorProtocol`: unoptimized code would look up types by name, in sections and in fatal reports.
struct ThreadRecords {
  private var rest = sched.pointee.allM.load(ordering: .acquiring)

  @inline(__always)
  mutating func next() -> MRef? {
    let m = rest
    rest = m?.pointee.allLink
    return m
  }
}

/// The memory of an M and its g0, for the runtime's threads and for foreign ones: a page each.
enum ThreadRecord {
  static func map() -> (m: MRef, g0: GRef) {
    let size = (MemoryLayout<M>.size + 63) & ~63
    let memory = PersistentMemory.map(bytes: size + MemoryLayout<G>.size)
    let m = memory.bindMemory(to: M.self, capacity: 1)
    let g0 = (memory + size).bindMemory(to: G.self, capacity: 1)
    m.initialize(to: M())
    g0.initialize(to: G(g0, kind: .scheduler))
    g0.pointee.setStatus(.running)
    g0.pointee.lockedM = m
    let head = UnsafeMutableRawPointer(g0).assumingMemoryBound(to: apus_g_head.self)
    m.pointee.head.g0 = head
    m.pointee.head.current = head
    return (m, g0)
  }

  /// The record of a thread that has ended, nil when there is none.
  static func reuse() -> MRef? {
    withFreeList { list in
      guard let m = list.pointee else { return nil }
      list.pointee = m.pointee.freeLink
      m.pointee.freeLink = nil
      return m
    }
  }

  /// Gives back the record of the calling thread, which must not use it any more.
  static func free(_ m: MRef) {
    // No thread's: `SchedulerTrace` is not to show it.
    m.pointee.id = -1
    withFreeList { list in
      m.pointee.freeLink = list.pointee
      list.pointee = m
    }
  }

  /// A spin lock of its own: a foreign thread that takes or gives back a record has no M, and so cannot take a
  /// `RuntimeLock`. Held for a few instructions; it may be taken under any other lock.
  private static func withFreeList<R>(_ body: (UnsafeMutablePointer<MRef?>) -> R) -> R {
    while sched.pointee.freeMLock.exchange(true, ordering: .acquiring) { Thread.yield() }
    defer { sched.pointee.freeMLock.store(false, ordering: .releasing) }
    return withUnsafeMutablePointer(to: &sched.pointee.freeM, body)
  }
}
