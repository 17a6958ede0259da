import CApus
import Synchronization

/// The beginning of a goroutine (Go's `newproc`), and its end (`goexit`).
public enum Spawn {
  /// A goroutine record for the caller to fill in: its entry and its payload. `stackOrder`: 0 for the default. Costs no
  /// allocation while there are free records; the stack comes when it first runs.
  @inline(never)
  public static func allocate(stackOrder: UInt8 = 0) -> GRef {
    let m = acquireM()
    let g: GRef
    if let p = m.pointee.p {
      if p.pointee.freeG.count == 0 { GoroutineRegistry.refill(&p.pointee.freeG, on: m) }
      g = p.pointee.freeG.pop().unsafelyUnwrapped
      p.pointee.freeG.prefetchNext()
      if p.pointee.nextID == p.pointee.lastID { takeIDs(p) }
      g.pointee.head.id = p.pointee.nextID
      p.pointee.nextID &+= 1
      p.pointee.liveBalance.store(p.pointee.liveBalance.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    } else {
      g = allocateWithoutP(m)
    }
    assert(g.pointee.status == .dead, "a goroutine record on the free list that lives")
    g.pointee.becomeUsers()
    g.pointee.needsCare = G.hasNoStack
    g.pointee.stackOrder = stackOrder == 0 ? sched.pointee.stackPools.defaultOrder : stackOrder
    g.pointee.creator = m.currentG.pointee.head.id
    #if DEBUG
      // Nothing is inlined: two functions of Apus are in between.
      g.pointee.creation = apus_return_address_of_callers_caller()
    #else
      g.pointee.creation = apus_return_address()
    #endif
    releaseM(m)
    return g
  }

  /// Makes a filled-in goroutine runnable: next on the caller's P.
  @inlinable
  @inline(__always)
  public static func submit(_ g: GRef, _ entry: Entry) {
    g.entryAddress.initialize(to: entry)
    submit(g)
  }

  @inline(never)
  public static func submit(_ g: GRef) {
    let m = acquireM()
    if Trace.isOn { Trace.create(g, on: m) }
    Latency.makeReady(g)
    if let p = m.pointee.p {
      OwnerQueue(p).putNext(g)
    } else {
      GlobalQueue.put(g)
    }
    Spinning.wakeIfIdle()
    releaseM(m)
  }

  @inline(never)
  private static func allocateWithoutP(_ m: MRef) -> GRef {
    var list = GList()
    GoroutineRegistry.refill(&list, on: m)
    let g = list.pop().unsafelyUnwrapped
    GoroutineRegistry.takeBack(&list)
    g.pointee.head.id = sched.pointee.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
    sched.pointee.goroutines.foreignBalance.wrappingAdd(1, ordering: .relaxed)
    return g
  }

  @inline(never)
  private static func takeIDs(_ p: PRef) {
    p.pointee.nextID = sched.pointee.nextID.wrappingAdd(16, ordering: .relaxed).oldValue
    p.pointee.lastID = p.pointee.nextID &+ 16
  }

  /// The ended goroutine `g` was switched away from, on `m`: its stack and its record may be used again.
  static func recycle(_ g: GRef, on m: MRef) {
    StackPools.takeBack(g, on: m)
    retire(g, on: m)
  }

  /// Puts the record of an ended goroutine, which has no stack any more, on the free list.
  @inline(__always)
  private static func retire(_ g: GRef, on m: MRef) {
    let p = m.pointee.p.unsafelyUnwrapped
    g.pointee.setStatus(.dead)
    if g.pointee.kind == .user {
      p.pointee.liveBalance.store(p.pointee.liveBalance.load(ordering: .relaxed) &- 1, ordering: .relaxed)
    }
    p.pointee.freeG.push(g)
    if p.pointee.freeG.count >= GoroutineRegistry.localLimit {
      GoroutineRegistry.takeBack(&p.pointee.freeG, keeping: GoroutineRegistry.localLimit / 2)
    }
  }

  /// The current goroutine has ended (Go's `goexit1`). Returns only when the next goroutine, one that has no stack yet,
  /// begins on this very stack: then the caller enters it as it would a new one. The thread is in the runtime then, as
  /// after a switch.
  static func finishCurrent() {
    let m = acquireM()
    let g = m.currentG
    assert(g.pointee.status == .running, "a goroutine ends that does not run")
    assert(m.pointee.accessListHead?.pointee ?? 0 == 0, "a goroutine ends inside an exclusivity access")
    assert(m.pointee.taskLocalsWord?.pointee ?? 0 == 0, "a goroutine ends with a task-local value bound")
    assert(apus_isolation_get(g.pointee.head.stack_hi) == nil, "a goroutine ends inside an isolated call")
    assert(!g.pointee.isInHeapScope, "a goroutine ends inside a scope of the managed heap")
    if Trace.isOn { apus_trace_go_destroy(m.cM) }
    // What its last switch left there: whoever gets the record next begins with no access open, and no value bound.
    g.pointee.accesses = (0, 0)
    m.pointee.head.told = 0
    m.pointee.after = .free
    m.pointee.afterG = g
    if g.pointee.needsCare & G.isLocked != 0 {
      // Locked to its thread, which nobody else may use after it: the thread ends too.
      m.pointee.lockedG = nil
      g.pointee.lockedM = nil
      m.pointee.lockCount = 0
      g.pointee.needsCare = 0
      m.pointee.exiting = true
      Switch.to(m.g0, from: g, on: m)
    }
    let p = m.pointee.p.unsafelyUnwrapped
    if Schedule.mayPickLocally(p), let taken = OwnerQueue(p).take() {
      let next = taken.g
      if next.pointee.needsCare == G.hasNoStack && next.pointee.stackOrder == g.pointee.stackOrder
        && !StoppedThreads.areMany
      {
        if !taken.inherits { p.pointee.schedTick &+= 1 }
        if Trace.isOn { apus_trace_bind(next.cHead, g.pointee.head.stack_hi) }
        next.pointee.head.stack_lo = g.pointee.head.stack_lo
        next.pointee.head.stack_hi = g.pointee.head.stack_hi
        next.pointee.needsCare = 0
        g.pointee.head.stack_hi = 0
        m.pointee.after = .nothing
        Schedule.begin(next, on: m)
        m.setCurrent(next)
        retire(g, on: m)
        return
      }
      m.pointee.picked = next
      m.pointee.pickedInherits = taken.inherits
      if next.pointee.needsCare == 0 {
        m.pointee.picked = nil
        if !taken.inherits { p.pointee.schedTick &+= 1 }
        Schedule.begin(next, on: m)
        Switch.to(next, from: g, on: m)
      }
    }
    Switch.to(m.g0, from: g, on: m)
  }
}

/// The first function of every goroutine.
@c(apus_goroutine_main)
public func goroutineMain() {
  Switch.finish()
  let g = currentMOrNil().unsafelyUnwrapped.currentG
  let entry = g.entryAddress.move()
  entry.run(g.payloadAddress)
}

/// Where the first function of every goroutine returns to.
@c(apus_goexit1)
public func goexit1() {
  Spawn.finishCurrent()
}
