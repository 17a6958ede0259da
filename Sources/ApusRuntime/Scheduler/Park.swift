import CApus
import Synchronization

/// Parking and making ready: the choke point through which every goroutine that waits passes (Go's `gopark`, `goready`).
public enum Park {
  /// Parks the current goroutine until somebody calls `ready` for it, and releases `lock`, which the caller holds and
  /// under which it made the goroutine known to whoever will wake it. The lock is released only when the goroutine's
  /// registers are saved, so a waker that finds it under the lock may run it at once.
  ///
  /// On a foreign thread it blocks the thread. Inside a Swift Concurrency task, or locked to its thread, the goroutine
  /// keeps its thread: nobody else runs there meanwhile.
  @inline(never)
  public static func park(_ reason: WaitReason, unlocking lock: UnsafeMutablePointer<RuntimeLock>) {
    let m = currentMOrNil().unsafelyUnwrapped
    let g = m.currentG
    let isSampled = Latency.isSample(g)
    if isSampled || BlockProfile.isOn {
      parkTimed(reason, isSampled: isSampled, unlocking: lock)
    } else {
      wait(reason, GStatus.waiting.rawValue, g, m, unlocking: lock)
    }
  }

  /// The same for a goroutine that waits in several queues at once: releases all the frame's locks.
  @inline(never)
  public static func park(_ reason: WaitReason, unlockingAll frame: UnsafeMutablePointer<SelectFrame>) {
    let m = currentMOrNil().unsafelyUnwrapped
    let g = m.currentG
    let isSampled = Latency.isSample(g)
    if isSampled || BlockProfile.isOn {
      parkTimed(reason, isSampled: isSampled, unlockingAll: frame)
    } else {
      wait(reason, GStatus.waiting.rawValue, g, m, unlockingAll: frame)
    }
  }

  /// A wait of which it is to be known how long it lasts, or how long the goroutine is ready after it.
  @inline(never)
  private static func parkTimed(
    _ reason: WaitReason, isSampled: Bool, unlocking lock: UnsafeMutablePointer<RuntimeLock>
  ) {
    let m = currentMOrNil().unsafelyUnwrapped
    let g = m.currentG
    let timing = WaitTiming(reason, isSampled: isSampled)
    wait(reason, timing.status, g, m, unlocking: lock)
    timing.end(of: g)
  }

  @inline(never)
  private static func parkTimed(
    _ reason: WaitReason, isSampled: Bool, unlockingAll frame: UnsafeMutablePointer<SelectFrame>
  ) {
    let m = currentMOrNil().unsafelyUnwrapped
    let g = m.currentG
    let timing = WaitTiming(reason, isSampled: isSampled)
    wait(reason, timing.status, g, m, unlockingAll: frame)
    timing.end(of: g)
  }

  /// `status`: waiting, perhaps with marks (`Latency`).
  @inline(__always)
  private static func wait(
    _ reason: WaitReason, _ status: UInt8, _ g: GRef, _ m: MRef, unlocking lock: UnsafeMutablePointer<RuntimeLock>
  ) {
    assert(g.pointee.status == .running, "a goroutine parks that does not run")
    assert(m.pointee.isForeign || g != m.g0, "the scheduler's own stack parks")
    g.pointee.waitReason = reason
    g.pointee.statusWord.store(status, ordering: .relaxed)
    if m.pointee.isForeign {
      ForeignThread.wait(g, on: m) { lock.pointee.unlock(m) }
      return
    }
    if Trace.isOn { Trace.block(reason, on: m) }
    m.pointee.after = m.pointee.unannounced == 0 ? .unlock : .unlockAndAnnounce
    m.pointee.afterLock = lock
    Schedule.leave(g, on: m)
  }

  @inline(__always)
  private static func wait(
    _ reason: WaitReason, _ status: UInt8, _ g: GRef, _ m: MRef, unlockingAll frame: UnsafeMutablePointer<SelectFrame>
  ) {
    assert(g.pointee.status == .running, "a goroutine parks that does not run")
    g.pointee.waitReason = reason
    g.pointee.statusWord.store(status, ordering: .relaxed)
    if m.pointee.isForeign {
      ForeignThread.wait(g, on: m) { frame.unlockAll(m) }
      return
    }
    if Trace.isOn { Trace.block(reason, on: m) }
    m.pointee.after = .unlockAll
    m.pointee.afterFrame = frame
    Schedule.leave(g, on: m)
  }

  /// Parks the current goroutine for ever.
  @inline(never)
  public static func parkForever(_ reason: WaitReason) -> Never {
    let m = acquireM()
    let g = m.currentG
    g.pointee.waitReason = reason
    g.pointee.setStatus(.waiting)
    if !m.pointee.isForeign {
      if Trace.isOn { Trace.block(reason, on: m) }
      Schedule.leave(g, on: m)
    }
    while true { ForeignThread.wait(g, on: m) {} }
  }

  /// Makes a parked goroutine runnable: next on the caller's P, or on the global queue where the caller has none. The
  /// caller is the one that took the goroutine's waiter off its queue, so nobody else does it too.
  @inline(__always)
  public static func ready(_ g: GRef) {
    ready(g, on: currentM())
  }

  /// The same for a caller that knows its M.
  ///
  /// The goroutine will run soon, mostly next, and its stack may have left the caches long ago: what the switch and the
  /// frames that it goes on in read comes meanwhile. Four lines instead of two save a fifth of a hop between 10,000
  /// goroutines (`ring`).
  @inline(never)
  public static func ready(_ g: GRef, on m: MRef) {
    makeReady(g, on: m) {
      apus_prefetch($0)
      apus_prefetch($0 &+ 128)
    }
  }

  /// The same for one of those that are made ready in a row. By the time one runs that `othersFollow`, what was fetched now
  /// would be in no cache any more; `OwnerQueue` fetches it a turn before.
  @inline(never)
  static func ready(_ g: GRef, on m: MRef, othersFollow: Bool) {
    if othersFollow { makeReady(g, on: m) { _ in } } else { ready(g, on: m) }
  }

  /// `fetch` gets the stack pointer that the goroutine goes on with.
  @inline(__always)
  private static func makeReady(_ g: GRef, on m: MRef, fetching fetch: (UInt) -> Void) {
    if g.pointee.kind == .foreign {
      assert(g.pointee.status == .waiting, "ready of a foreign thread that does not wait")
      g.pointee.waitReason = .none
      ForeignThread.wake(g)
      return
    }
    m.enter()
    fetch(g.pointee.head.sp)
    if Trace.isOn { Trace.unblock(g, on: m) }
    Latency.makeReadyAfterWait(g)
    if let p = m.pointee.p {
      OwnerQueue(p).putNext(g)
    } else {
      GlobalQueue.put(g)
    }
    Spinning.wakeIfIdle()
    m.leave()
  }

  /// Releases `lock`, which `m` holds, and makes `g`, which was taken off a queue under it, runnable. Between the two the
  /// thread is not stopped: the goroutine would wait with it.
  @inlinable
  @inline(__always)
  public static func unlock(_ lock: UnsafeMutablePointer<RuntimeLock>, on m: MRef, readying g: GRef?) {
    if let g {
      lock.pointee.unlockKeepingSection(m)
      ready(g, on: m)
      m.leave()
    } else {
      lock.pointee.unlock(m)
    }
  }

  /// Makes all of `batch` runnable, in order, at the end of the queue of the P that `m` has. None is a foreign thread's.
  /// The caller looks for a goroutine to run next: a single one that nothing comes before is its own, and wakes nobody.
  static func ready(_ batch: inout GQueue, on m: MRef) {
    let queue = OwnerQueue(m.pointee.p.unsafelyUnwrapped)
    let isNext = batch.count == 1 && queue.isEmpty && GlobalQueue.isEmpty
    while let g = batch.removeFirst() {
      if Trace.isOn { Trace.unblock(g, on: m) }
      Latency.makeReadyAfterWait(g)
      queue.putLast(g)
    }
    // One thread is enough: it wakes the next when it has found something.
    if !isNext { Spinning.wakeIfIdle() }
  }

  /// Makes all of `batch` runnable, in order, on the global queue; for a thread without a P (Go's `injectglist`). None is
  /// a foreign thread's.
  package static func inject(_ batch: inout GQueue) {
    if batch.count == 0 { return }
    var runnable = GQueue()
    while let g = batch.removeFirst() {
      if Trace.isOn { Trace.unblock(g, on: currentM()) }
      Latency.makeReadyAfterWait(g)
      runnable.append(g)
    }
    GlobalQueue.put(&runnable)
    Spinning.wakeIfIdle()
  }

  /// Lets the others run: the current goroutine goes to the end of its P's queue (Go's `Gosched`). At once when there are
  /// none, except that every 61st call looks everywhere.
  @inline(never)
  public static func yield() {
    let m = acquireM()
    if m.pointee.isForeign {
      releaseM(m)
      Thread.yield()
      return
    }
    let g = m.currentG
    let p = m.pointee.p.unsafelyUnwrapped
    if OwnerQueue(p).isEmpty && GlobalQueue.isEmpty && p.pointee.attention.load(ordering: .relaxed) == 0 {
      p.pointee.schedTick &+= 1
      if p.pointee.schedTick % 61 != 0 {
        releaseM(m)
        return
      }
    }
    if Trace.isOn { apus_trace_go_yield(m.cM) }
    Latency.makeReady(g)
    m.pointee.afterG = g
    // A goroutine that keeps its thread goes through the scheduler loop, which may give the P away before it looks at
    // the local queue: the global queue is where anybody finds it.
    m.pointee.after = g.pointee.needsCare == 0 ? .enqueueLocal : .enqueueGlobal
    Schedule.leave(g, on: m)
  }
}
