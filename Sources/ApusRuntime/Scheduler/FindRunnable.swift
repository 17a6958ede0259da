import Synchronization

/// The search for work (Go's `findRunnable`).
enum FindRunnable {
  /// Finds a runnable goroutine, or sleeps until there is one. `m` has a P before and after; not always the same. nil when
  /// the thread is to end.
  ///
  /// The order is Go's, with the stopped threads in it: who comes back from the kernel goes before the local queue, who was
  /// preempted after everything else, unless it has waited for too long; it takes turns with goroutines that were put aside.
  static func find(_ m: MRef) -> (g: GRef, inherits: Bool)? {
    while !m.pointee.exiting {
      let p = m.pointee.p.unsafelyUnwrapped
      if StopTheWorld.isStopping {
        StopTheWorld.stopHere(m)
        continue
      }
      if p.pointee.attention.load(ordering: .relaxed) & Attention.look != 0 {
        p.pointee.attention.bitwiseAnd(~Attention.look, ordering: .relaxed)
      }
      StoppedThreads.receiveArrivals(m)
      _ = Expiry.check(p, on: m)
      if !p.pointee.hasServedStopped {
        if StoppedThreads.resumeNext(.returning, from: m) { continue }
        if sched.pointee.hogsAreDue.load(ordering: .relaxed),
          StoppedThreads.resumeNext(.preempted, from: m, isDue: true)
        {
          continue
        }
      }
      // Now and then the global queue first: two goroutines that wake each other could keep a P for ever.
      if p.pointee.schedTick % 61 == 0 { Netpoll.checkIfStale(on: m) }
      let found: (g: GRef, inherits: Bool)
      if p.pointee.schedTick % 61 == 0, let g = takeGlobal(m, limit: 1) {
        found = (g, false)
      } else if let g = UnstartedQueue.takeDue(on: m) {
        p.pointee.hasServedStopped = false
        return (g, false)
      } else if let taken = OwnerQueue(p).take() {
        found = taken
      } else if let g = takeGlobal(m, limit: Int.max) {
        found = (g, false)
      } else if Netpoll.check(on: m), let taken = OwnerQueue(p).take() {
        // Before others are robbed: what waits for a descriptor is nobody's yet.
        found = taken
      } else if let g = steal(m) {
        found = (g, false)
      } else if StoppedThreads.resumeNext(.returning, from: m) {
        continue
      } else if !p.pointee.hasBegunDeferred, let g = UnstartedQueue.take(on: m) {
        p.pointee.hasBegunDeferred = true
        return (g, false)
      } else if StoppedThreads.resumeNext(.preempted, from: m) {
        continue
      } else if let g = UnstartedQueue.take(on: m) {
        return (g, false)
      } else if let g = goIdle(m) {
        found = (g, false)
      } else {
        continue
      }
      if !UnstartedQueue.defers(found.g, on: m) {
        // `goIdle` may have come back with another P.
        m.pointee.p.unsafelyUnwrapped.pointee.hasServedStopped = false
        return found
      }
    }
    return nil
  }

  private static func takeGlobal(_ m: MRef, limit: Int) -> GRef? {
    if GlobalQueue.isEmpty { return nil }
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    return GlobalQueue.take(for: m.pointee.p.unsafelyUnwrapped, limit: limit)
  }

  /// Four rounds over all Ps, each from a random start in a random step (Go's `stealWork`). Only the last round takes
  /// another P's `next`, and before it runs what is due of that P's timers: the P may be idle, or run a goroutine that
  /// does not stop.
  private static func steal(_ m: MRef) -> GRef? {
    let procs = sched.pointee.maxProcs.load(ordering: .relaxed)
    let idle = sched.pointee.idlePCount.load(ordering: .relaxed)
    if !m.pointee.spinning {
      // At most half of the busy Ps look for work at once, or a program with little parallelism would burn the rest.
      if 2 * sched.pointee.spinning.load(ordering: .relaxed) >= procs - idle { return nil }
      Spinning.start(m)
    }
    let p = m.pointee.p.unsafelyUnwrapped
    for round in 0..<4 {
      var order = StealOrder(count: UInt32(procs), seed: m.pointee.nextRandom())
      while let index = order.next() {
        if StopTheWorld.isStopping { return nil }
        guard let victim = sched.pointee.allP[Int(index)], victim != p else { continue }
        if round == 3, Expiry.check(victim, on: m), let taken = OwnerQueue(p).take() { return taken.g }
        if let g = OwnerQueue(p).steal(from: victim, takeNext: round == 3) {
          p.pointee.steals.store(p.pointee.steals.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
          return g
        }
      }
    }
    return nil
  }

  /// Gives the P away, looks once more, and sleeps. A goroutine when one turned up (the M has a P then), nil when the
  /// search has to start again.
  private static func goIdle(_ m: MRef) -> GRef? {
    let p = m.pointee.p.unsafelyUnwrapped
    sched.pointee.lock.lock(m)
    StoppedThreads.receiveArrivalsLocked()
    SpareThreads.reclaimSuccessorLocked()
    if StopTheWorld.isStopping || StoppedThreads.areWaiting || !UnstartedQueue.isEmpty {
      sched.pointee.lock.unlock(m)
      return nil
    }
    if let g = GlobalQueue.take(for: p, limit: Int.max) {
      sched.pointee.lock.unlock(m)
      return g
    }
    if !m.pointee.spinning && sched.pointee.needSpinning.load(ordering: .relaxed) {
      // Somebody found work and no idle P for it: look again on its behalf (Spinning.swift).
      Spinning.start(m)
      sched.pointee.lock.unlock(m)
      return nil
    }
    Processors.release(m)
    IdleLists.put(p)
    sched.pointee.lock.unlock(m)
    if m.pointee.spinning {
      // The order of this decrement and the look that follows is half of the protocol in Spinning.swift.
      m.pointee.spinning = false
      let before = sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent).oldValue
      precondition(before > 0, "the count of spinning threads fell below zero")
    }
    if let g = lookOnceMore(m) { return g }
    if m.pointee.p != nil { return nil }
    IdleWait.waitOrStop(m)
    return nil
  }

  /// The second look, without a P, of every thread that gives its P away (Go's spinners alone; here a submitter that sees
  /// no idle P wakes nobody, so whoever makes a P idle looks). When it finds something it takes an idle P and spins
  /// again: it may have found one goroutine of many.
  private static func lookOnceMore(_ m: MRef) -> GRef? {
    sched.pointee.lock.lock(m)
    if !GlobalQueue.isEmptyInOrder, let p = Spinning.takeIdleP() {
      let g = GlobalQueue.take(for: p, limit: Int.max)
      sched.pointee.lock.unlock(m)
      Processors.acquire(p, for: m)
      Spinning.start(m)
      return g
    }
    sched.pointee.lock.unlock(m)
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .acquiring)) {
      guard let other = sched.pointee.allP[index], !other.pointee.queue.isEmpty else { continue }
      sched.pointee.lock.lock(m)
      let p = Spinning.takeIdleP()
      sched.pointee.lock.unlock(m)
      guard let p else { return nil }
      Processors.acquire(p, for: m)
      Spinning.start(m)
      return nil
    }
    return nil
  }
}

/// Every number below `count` once, from a random start in a random step that has no divisor in common with `count`
/// (Go's `randomOrder`).
struct StealOrder {
  private let count: UInt32
  private let step: UInt32
  private var position: UInt32
  private var left: UInt32

  init(count: UInt32, seed: UInt32) {
    self.count = count
    left = count
    position = seed % count
    var candidate = (seed / count) % count
    while StealOrder.greatestCommonDivisor(candidate, count) != 1 { candidate = (candidate + 1) % max(count, 2) }
    step = candidate
  }

  mutating func next() -> UInt32? {
    if left == 0 { return nil }
    left -= 1
    defer { position = (position + step) % count }
    return position
  }

  private static func greatestCommonDivisor(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }
}
