import Synchronization

/// Who holds a P, and how many there are.
enum Processors {
  /// `m` takes `p`, which is off the idle list (Go's `acquirep`).
  static func acquire(_ p: PRef, for m: MRef) {
    assert(m.pointee.p == nil && p.pointee.m == nil && p.pointee.status == .idle, "a P that is not free is taken")
    p.pointee.m = m
    p.pointee.status = .running
    m.pointee.p = p
  }

  /// `m` lets its P go; the caller decides where it goes (Go's `releasep`).
  @discardableResult
  static func release(_ m: MRef) -> PRef {
    let p = m.pointee.p.unsafelyUnwrapped
    assert(p.pointee.m == m && p.pointee.status == .running, "a P is released by another thread")
    m.pointee.p = nil
    p.pointee.m = nil
    p.pointee.status = .idle
    return p
  }

  /// Finds a thread for `p`, whose holder keeps its goroutine and goes on without it (Go's `handoffp`).
  static func handOff(_ p: PRef, from m: MRef) {
    sched.pointee.handoffs.wrappingAdd(1, ordering: .relaxed)
    if !p.pointee.queue.isEmpty || !GlobalQueue.isEmpty {
      sched.pointee.lock.lock(m)
      if !stopInHandOff(p, m) { Threads.start(p, spinning: false, holdingLockOf: m) }
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
        Threads.start(p, spinning: true, holdingLockOf: m)
      }
      return
    }
    sched.pointee.lock.lock(m)
    if stopInHandOff(p, m) { return }
    if sched.pointee.global.count > 0 {
      Threads.start(p, spinning: false, holdingLockOf: m)
      return
    }
    IdleLists.put(p)
    let when = p.pointee.timers.nextWhen.load(ordering: .sequentiallyConsistent)
    sched.pointee.lock.unlock(m)
    if when != TimerHeap.none { IdleWait.wake(for: when) }
  }

  /// When the world is being stopped, the P is what the stopper waits for: gives it up, releases `Sched.lock`, true.
  private static func stopInHandOff(_ p: PRef, _ m: MRef) -> Bool {
    guard sched.pointee.stopping.load(ordering: .relaxed) else { return false }
    p.pointee.status = .stopped
    StopTheWorld.countStopped()
    sched.pointee.lock.unlock(m)
    return true
  }

  /// Makes `count` Ps, the first `count` of `allP`, and dissolves the others (Go's `procresize`). The world stands still
  /// and the caller holds `Sched.lock`; its M ends up with a P. The Ps with work come back as a list by their links: the
  /// caller starts threads for them; the others are idle.
  static func resize(to count: Int, for m: MRef) -> PRef? {
    let old = Int(sched.pointee.maxProcs.load(ordering: .relaxed))
    for index in 0..<count where sched.pointee.allP[index] == nil {
      let p = PersistentMemory.map(bytes: MemoryLayout<P>.size).bindMemory(to: P.self, capacity: 1)
      p.initialize(to: P(id: Int32(index), stackOrder: sched.pointee.stackPools.defaultOrder))
      sched.pointee.allP[index] = p
      sched.pointee.processorsMade.store(Int32(index + 1), ordering: .releasing)
    }
    if count < old {
      for index in count..<old { dissolve(sched.pointee.allP[index].unsafelyUnwrapped) }
    }
    sched.pointee.maxProcs.store(Int32(count), ordering: .releasing)
    if let p = m.pointee.p {
      p.pointee.m = nil
      m.pointee.p = nil
    }
    let mine = sched.pointee.allP[0].unsafelyUnwrapped
    var withWork: PRef?
    for index in (0..<count).reversed() {
      let p = sched.pointee.allP[index].unsafelyUnwrapped
      p.pointee.status = .idle
      p.pointee.m = nil
      if p == mine { continue }
      if p.pointee.queue.isEmpty {
        IdleLists.put(p)
      } else {
        p.pointee.link = withWork
        withWork = p
      }
    }
    acquire(mine, for: m)
    return withWork
  }

  /// Takes everything from a P beyond the limit: its goroutines go to the global queue, its records and stacks to the
  /// shared lists.
  private static func dissolve(_ p: PRef) {
    OwnerQueue(p).drain(into: &sched.pointee.global)
    sched.pointee.globalCount.store(sched.pointee.global.count, ordering: .relaxed)
    GoroutineRegistry.takeBack(&p.pointee.freeG)
    GoroutineRegistry.takeBack(&p.pointee.selectFrames, on: currentM())
    StackPools.takeBack(&p.pointee.stacks)
    p.pointee.status = .dead
    p.pointee.m = nil
  }
}
