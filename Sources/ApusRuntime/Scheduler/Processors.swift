import CApus
import Synchronization

/// Who holds a P, and how many there are.
enum Processors {
  /// Calls `body` with each P that there ever was, in the order of their numbers. Those that are added meanwhile may be left
  /// out; none is ever taken away.
  @inline(__always)
  static func each(_ body: (PRef) -> Void) {
    for index in 0..<Int(sched.pointee.processorsMade.load(ordering: .acquiring)) {
      body(sched.pointee.allP[index].unsafelyUnwrapped)
    }
  }

  /// `m` takes `p`, which is off the idle list (Go's `acquirep`).
  static func acquire(_ p: PRef, for m: MRef) {
    assert(m.pointee.p == nil && p.pointee.m == nil && p.pointee.status == .idle, "a P that is not free is taken")
    p.pointee.m = m
    p.pointee.status = .running
    m.pointee.p = p
    if Trace.isOn { apus_trace_proc_start(m.cM, p.cHead) }
  }

  /// Gives `p`, which nobody holds, to the stopped thread of `m`: it goes on with its goroutine when it is woken. The
  /// caller holds `Sched.lock`, or is that thread itself and holds it. `isHog`: it was stopped because it ran for too long.
  static func give(_ p: PRef, to m: MRef, isHog: Bool = false) {
    assert(m.pointee.p == nil && p.pointee.m == nil && p.pointee.status == .idle, "a P that is not free is given")
    assert(m.pointee.words.claim.load(ordering: .relaxed) == Claim.value(.lost), "a P for a thread that has one")
    p.pointee.m = m
    p.pointee.status = .running
    m.pointee.p = p
    if Trace.isOn { apus_trace_given(m.cM, p.cHead) }
    Latency.makeRunning(m.currentG, on: p)
    p.pointee.switches.store(p.pointee.switches.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    let tick = p.pointee.schedTick &+ 1
    p.pointee.sliceTick.store(tick, ordering: .relaxed)
    p.pointee.sliceStart.store(Clock.nanotime(), ordering: .relaxed)
    p.pointee.sliceIsHogs.store(isHog, ordering: .relaxed)
    p.pointee.schedTick = tick
    m.pointee.words.preempt.store(0, ordering: .relaxed)
    m.pointee.words.claim.store(Claim.value(.held), ordering: .releasing)
  }

  /// `m` lets its P go; the caller decides where it goes (Go's `releasep`).
  @discardableResult
  static func release(_ m: MRef) -> PRef {
    let p = m.pointee.p.unsafelyUnwrapped
    assert(p.pointee.m == m && p.pointee.status == .running, "a P is released by another thread")
    if Trace.isOn { apus_trace_proc_stop(m.cM) }
    m.pointee.p = nil
    p.pointee.m = nil
    p.pointee.status = .idle
    return p
  }

  /// Finds a thread for `p`, whose holder keeps its goroutine and goes on without it (Go's `handoffp`): a stopped one that
  /// waits for a P, an idle one, or a new one. `leavesCPU`: `m` is the calling thread's, which sleeps next.
  static func handOff(_ p: PRef, from m: MRef, leavesCPU: Bool = false) {
    sched.pointee.handoffs.wrappingAdd(1, ordering: .relaxed)
    let hasWork = !p.pointee.queue.isEmpty || !GlobalQueue.isEmpty || Expiry.anyIsDue
    if StoppedThreads.areWaiting && handToStopped(p, hasWork: hasWork, from: m, leavesCPU: leavesCPU) { return }
    if hasWork {
      sched.pointee.lock.lock(m)
      if !stopInHandOff(p, m) { Threads.start(p, spinning: false, holdingLockOf: m, leavesCPU: leavesCPU) }
      return
    }
    // No work here. When nobody spins and no P is idle, this one is the only one that could find any: let it look.
    if sched.pointee.spinning.load(ordering: .sequentiallyConsistent)
      + sched.pointee.idlePCount.load(ordering: .sequentiallyConsistent) == 0,
      sched.pointee.spinning.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent).exchanged
    {
      sched.pointee.needSpinning.store(false, ordering: .relaxed)
      sched.pointee.lock.lock(m)
      if stopInHandOff(p, m) {
        sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      } else {
        Threads.start(p, spinning: true, holdingLockOf: m, leavesCPU: leavesCPU)
      }
      return
    }
    sched.pointee.lock.lock(m)
    if stopInHandOff(p, m) { return }
    if sched.pointee.global.count > 0 {
      Threads.start(p, spinning: false, holdingLockOf: m, leavesCPU: leavesCPU)
      return
    }
    // Since the look above somebody may have come to wait.
    SpareThreads.reclaimSuccessorLocked()
    if let next = StoppedThreads.take(.returning) ?? StoppedThreads.take(.preempted) {
      give(p, to: next)
      sched.pointee.lock.unlock(m)
      next.wakeUp(leavesCPU: leavesCPU)
      return
    }
    IdleLists.put(p)
    let when = p.pointee.timers.nextWhen.load(ordering: .sequentiallyConsistent)
    sched.pointee.lock.unlock(m)
    if when != TimerHeap.none || Netpoll.hasWaiters { IdleWait.wake(for: when) }
  }

  /// Gives `p` to a thread that came back from the kernel, or to a preempted one where there is nothing else to run on it.
  private static func handToStopped(_ p: PRef, hasWork: Bool, from m: MRef, leavesCPU: Bool) -> Bool {
    sched.pointee.lock.lock(m)
    if stopInHandOff(p, m) { return true }
    var isHog = false
    // Taking turns with the queues, as `FindRunnable` does, which ends the turn of those.
    var next = hasWork && p.pointee.hasServedStopped ? nil : StoppedThreads.take(.returning)
    if next != nil { p.pointee.hasServedStopped = true }
    if next == nil && !hasWork {
      next = StoppedThreads.take(.preempted)
      isHog = true
    }
    if let next { give(p, to: next, isHog: isHog) }
    sched.pointee.lock.unlock(m)
    guard let next else { return false }
    next.wakeUp(leavesCPU: leavesCPU)
    return true
  }

  /// When the world is being stopped, the P is what the stopper waits for: gives it up, releases `Sched.lock`, true.
  private static func stopInHandOff(_ p: PRef, _ m: MRef) -> Bool {
    guard StopTheWorld.isStopping else { return false }
    StopTheWorld.countStopped(p)
    sched.pointee.lock.unlock(m)
    return true
  }

  /// Makes `count` Ps, the first `count` of `allP`, and dissolves the others (Go's `procresize`). The world stands still
  /// and the caller holds `Sched.lock`; its M, with `needsP`, ends up with a P. A P whose thread was stopped by the world
  /// stays with it. Of the others, some go to threads that wait for one: they come back as a list by `M.idleLink`, for the
  /// caller to wake when the world has started. Those with work come back as a list by `P.link`: the caller starts threads
  /// for them. The rest is idle.
  static func resize(to count: Int, for m: MRef, needsP: Bool) -> (withWork: PRef?, resumed: MRef?) {
    let old = Int(sched.pointee.maxProcs.load(ordering: .relaxed))
    for index in 0..<count where sched.pointee.allP[index] == nil {
      let size = (MemoryLayout<P>.size + 63) & ~63
      let memory = PersistentMemory.map(bytes: size + TimeHistogram.size)
      let p = memory.bindMemory(to: P.self, capacity: 1)
      p.initialize(
        to: P(id: Int32(index), stackOrder: sched.pointee.stackPools.defaultOrder, room: memory + size))
      LayoutCheck.check(p)
      sched.pointee.allP[index] = p
      sched.pointee.processorsMade.store(Int32(index + 1), ordering: .releasing)
    }
    if count < old {
      for index in count..<old {
        let p = sched.pointee.allP[index].unsafelyUnwrapped
        if p.pointee.m != nil { detach(p, from: m) }
        dissolve(p)
      }
    }
    sched.pointee.maxProcs.store(Int32(count), ordering: .releasing)
    Placement.updateLocked()
    SpareThreads.reclaimSuccessorLocked()
    var withWork: PRef?
    var resumed: MRef?
    // From the last to the first, so that the first is on top of the idle list. Not `reversed()`, which allocates in a
    // debug build.
    var index = count
    while index > 0 {
      index -= 1
      let p = sched.pointee.allP[index].unsafelyUnwrapped
      if p == m.pointee.p { p.pointee.status = .running }
      if p.pointee.m != nil { continue }
      p.pointee.status = .idle
      if needsP && m.pointee.p == nil {
        acquire(p, for: m)
      } else if let next = StoppedThreads.take(.returning) ?? StoppedThreads.take(.preempted) {
        give(p, to: next)
        next.pointee.idleLink = resumed
        resumed = next
      } else if p.pointee.queue.isEmpty {
        IdleLists.put(p)
      } else {
        p.pointee.link = withWork
        withWork = p
      }
    }
    if needsP && m.pointee.p == nil {
      // Every P is with a stopped thread.
      let p = sched.pointee.allP[0].unsafelyUnwrapped
      detach(p, from: m)
      acquire(p, for: m)
    }
    return (withWork, resumed)
  }

  /// Takes `p` from whoever has it while the world stands still: `m` itself, or a thread stopped in its handler, which waits
  /// for another one then.
  private static func detach(_ p: PRef, from m: MRef) {
    let owner = p.pointee.m.unsafelyUnwrapped
    owner.pointee.p = nil
    p.pointee.m = nil
    p.pointee.status = .idle
    if owner == m {
      if Trace.isOn { apus_trace_proc_stop(m.cM) }
      return
    }
    if Trace.isOn { apus_trace_detached(owner.cM) }
    owner.pointee.words.claim.store(Claim.value(.lost), ordering: .releasing)
    owner.pointee.words.stopped.store(UInt32(APUS_STOPPED_FOR_P), ordering: .releasing)
    Latency.makeReady(owner.currentG)
    sched.pointee.preempted.append(owner)
  }

  /// Takes everything from a P beyond the limit: its goroutines go to the global queue, its records and stacks to the
  /// shared lists.
  private static func dissolve(_ p: PRef) {
    OwnerQueue(p).drain(into: &sched.pointee.global)
    sched.pointee.globalCount.store(sched.pointee.global.count, ordering: .relaxed)
    GoroutineRegistry.takeBack(&p.pointee.freeG)
    GoroutineRegistry.takeBack(&p.pointee.selectFrames, on: currentM())
    StackPools.takeBack(&p.pointee.stacks)
    p.pointee.heap.flush(on: currentM())
    p.pointee.heap.shareBuffer(on: currentM())
    p.pointee.status = .dead
    p.pointee.m = nil
  }
}
