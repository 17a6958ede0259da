import CApus
import Synchronization

/// Which goroutine runs next, and the loop in which an M without one looks for it (Go's `schedule`, `execute`).
enum Schedule {
  /// Leaves the current goroutine `g` of `m`, whose after-switch action is set, for another. The thread is in the runtime
  /// (`Switch`). Returns when `g` runs again, outside it.
  ///
  /// When the local queue has a goroutine that needs nothing special, the switch goes straight to it; every other case is
  /// the scheduler loop's, on g0.
  @inline(__always)
  static func leave(_ g: GRef, on m: MRef) {
    if isWithinTask(m) && g.pointee.lockedM == nil {
      leaveWithinTask(g, on: m)
      return
    }
    if m.pointee.head.told != 0 {
      leaveWithinRegion(g, on: m)
      return
    }
    leaveAtOnce(g, on: m)
  }

  /// Whether the calling thread, which is that of `m`, is inside a task of Swift Concurrency. The call that it saves, and
  /// the registers saved around that, are a fifth of a yield.
  @inline(__always)
  private static func isWithinTask(_ m: MRef) -> Bool {
    guard let word = m.pointee.taskWord else { return apus_current_task() != nil }
    return word.pointee != 0
  }

  @inline(__always)
  private static func leaveAtOnce(_ g: GRef, on m: MRef) {
    if g.pointee.needsCare == 0, let next = pickDirectly(m) {
      begin(next, on: m)
      Switch.to(next, from: g, on: m)
    } else {
      leaveForLoop(g, on: m)
    }
  }

  @inline(never)
  private static func leaveForLoop(_ g: GRef, on m: MRef) {
    if g.pointee.isInHeapScope, let p = m.pointee.p,
      p.pointee.attention.load(ordering: .relaxed) & Attention.note != 0
    {
      m.pointee.left = g
    }
    Switch.to(m.g0, from: g, on: m)
  }

  /// Swift Concurrency keeps the current task in thread-local storage and on this stack, so a goroutine that is inside a
  /// task (an async main, `Task.immediate`) keeps its thread while it waits, as if it were locked to it.
  @inline(never)
  private static func leaveWithinTask(_ g: GRef, on m: MRef) {
    if m.pointee.after == .enqueueLocal { m.pointee.after = .enqueueGlobal }
    LockedThread.lock(g, to: m)
    let told = m.pointee.head.told
    m.pointee.head.told = 0
    Switch.to(m.g0, from: g, on: m)
    m.pointee.head.told = told
    LockedThread.unlock(g, from: m)
  }

  /// The goroutine waits inside a region that was said to block (`Syscall.enter`). The region is the goroutine's, the mark
  /// is in the M, whichever it has.
  @inline(never)
  private static func leaveWithinRegion(_ g: GRef, on m: MRef) {
    let told = m.pointee.head.told
    m.pointee.head.told = 0
    leaveAtOnce(g, on: m)
    let resumed = acquireM()
    resumed.pointee.head.told = told
    if let p = resumed.pointee.p { Syscall.count(p) }
    releaseM(resumed)
  }

  /// Takes the next goroutine off the local queue if it can be switched to at once. One that cannot is left in the M for
  /// the scheduler loop.
  @inline(__always)
  static func pickDirectly(_ m: MRef) -> GRef? {
    let p = m.pointee.p.unsafelyUnwrapped
    guard mayPickLocally(p), let taken = OwnerQueue(p).take() else { return nil }
    let next = taken.g
    if next.pointee.needsCare != 0 {
      guard next.pointee.needsCare == G.hasNoStack, next.pointee.stackOrder == p.pointee.stacks.order,
        !StoppedThreads.areMany, let stack = p.pointee.stacks.pop()
      else {
        m.pointee.picked = next
        m.pointee.pickedInherits = taken.inherits
        return nil
      }
      Switch.bind(next, to: stack)
    }
    if !taken.inherits { p.pointee.schedTick &+= 1 }
    return next
  }

  /// False when the scheduler loop has to be passed: somebody stops the world, it is the global queue's and the poller's
  /// turn, or a timer is due.
  @inline(__always)
  static func mayPickLocally(_ p: PRef) -> Bool {
    p.pointee.attention.load(ordering: .relaxed) == 0
      && (p.pointee.schedTick % 61 != 0 || (GlobalQueue.isEmpty && !Netpoll.isInUse)) && !Expiry.isDue(p)
  }

  /// Makes `g` the running goroutine of `m` (the state; the registers follow).
  @inline(__always)
  static func begin(_ g: GRef, on m: MRef) {
    assert(g.pointee.status == .runnable, "a goroutine is run that is not runnable")
    let p = m.pointee.p.unsafelyUnwrapped
    Latency.makeRunning(g, on: p)
    if Trace.isOn { Trace.start(g, on: m) }
    // What was asked of the one before.
    if m.pointee.words.preempt.load(ordering: .relaxed) != 0 { m.pointee.words.preempt.store(0, ordering: .relaxed) }
    p.pointee.switches.store(p.pointee.switches.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  /// The scheduler loop, on g0. Returns when the thread is to end.
  static func loop(_ m: MRef) {
    assert(m.pointee.head.locks == 1, "the scheduler loop begins outside the runtime")
    while let next = findNext(m) {
      if next.g.pointee.needsCare & G.hasNoStack != 0 { StackPools.bind(next.g, on: m) }
      if next.g.pointee.needsCare & G.isShelved != 0 { Shelf.restore(next.g, on: m) }
      if !next.inherits { m.pointee.p.unsafelyUnwrapped.pointee.schedTick &+= 1 }
      begin(next.g, on: m)
      Switch.fromG0(to: next.g, on: m)
    }
  }

  /// The goroutine that `m` runs next; nil when the thread is to end (Go's `schedule`).
  private static func findNext(_ m: MRef) -> (g: GRef, inherits: Bool)? {
    while !m.pointee.exiting {
      if let locked = m.pointee.lockedG {
        Timers.announce(m)
        LockedThread.waitForTurn(m)
        return (locked, false)
      }
      if StopTheWorld.isStopping {
        if let picked = m.pointee.picked {
          m.pointee.picked = nil
          OwnerQueue(m.pointee.p.unsafelyUnwrapped).put(picked)
        }
        StopTheWorld.stopHere(m)
        continue
      }
      let found: (g: GRef, inherits: Bool)
      if let picked = m.pointee.picked {
        m.pointee.picked = nil
        if UnstartedQueue.defers(picked, on: m) { continue }
        found = (picked, m.pointee.pickedInherits)
      } else {
        guard let next = FindRunnable.find(m) else { continue }
        found = next
      }
      if m.pointee.spinning { Spinning.stop(m) }
      Timers.announce(m)
      if let owner = found.g.pointee.lockedM, owner != m {
        LockedThread.handOver(found.g, to: owner, from: m)
        continue
      }
      return found
    }
    return nil
  }
}
