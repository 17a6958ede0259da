import Synchronization

/// All Ps stand still: nobody runs goroutines but the caller (Go's `stopTheWorld`, `startTheWorld`).
enum StopTheWorld {
  /// Stops the world for the duration of `body`, which runs on the calling goroutine and must not park. One caller at a
  /// time; others wait. A goroutine that runs is stopped at its next scheduling point.
  static func run(_ body: (MRef) -> Void) {
    sched.pointee.world.acquire(1, .stoppingTheWorld)
    let asked = Clock.nanotime()
    stop(currentM())
    let took = Clock.nanotime() &- asked
    if took > sched.pointee.worstStop.load(ordering: .relaxed) {
      sched.pointee.worstStop.store(took, ordering: .relaxed)
    }
    let m = currentM()
    body(m)
    start(m)
    sched.pointee.world.release()
  }

  private static func stop(_ m: MRef) {
    sched.pointee.lock.lock(m)
    sched.pointee.stopNote.clear()
    sched.pointee.stopWait = sched.pointee.maxProcs.load(ordering: .relaxed)
    sched.pointee.stopping.store(true, ordering: .sequentiallyConsistent)
    setAttention(1)
    if let p = m.pointee.p {
      p.pointee.status = .stopped
      sched.pointee.stopWait -= 1
    }
    while let p = IdleLists.takeP() {
      p.pointee.status = .stopped
      sched.pointee.stopWait -= 1
    }
    let wait = sched.pointee.stopWait > 0
    sched.pointee.lock.unlock(m)
    // The others stop by themselves: a running goroutine at its next switch, a searching thread in its loop. The last
    // one wakes the note. The caller keeps its thread: it must go on as soon as they stand.
    if wait { sched.pointee.stopNote.sleep() }
    assert(sched.pointee.stopWait == 0, "the world stands still, and a P is missing")
  }

  private static func start(_ m: MRef) {
    // Before `Sched.lock` is taken, which ranks above the timers'.
    Expiry.evacuate(downTo: sched.pointee.nextMaxProcs, on: m)
    sched.pointee.lock.lock(m)
    let hadP = m.pointee.p != nil
    var withWork = Processors.resize(to: sched.pointee.nextMaxProcs, for: m)
    setAttention(0)
    sched.pointee.stopping.store(false, ordering: .sequentiallyConsistent)
    if !hadP {
      // A foreign thread stopped the world: it keeps no P.
      let p = Processors.release(m)
      p.pointee.link = withWork
      withWork = p
    }
    sched.pointee.lock.unlock(m)
    while let p = withWork {
      withWork = p.pointee.link
      p.pointee.link = nil
      sched.pointee.lock.lock(m)
      Threads.start(p, spinning: false, holdingLockOf: m)
    }
    // There may be more work than the Ps with local work can see: let one thread look.
    Spinning.wake()
  }

  private static func setAttention(_ value: UInt32) {
    for index in 0..<Int(sched.pointee.processorsMade.load(ordering: .acquiring)) {
      let p = sched.pointee.allP[index].unsafelyUnwrapped
      p.pointee.attention.store(value, ordering: .relaxed)
    }
  }

  /// The thread of `m` gives its P to whoever stops the world, and goes idle (Go's `gcstopm`).
  static func stopHere(_ m: MRef) {
    if m.pointee.spinning {
      m.pointee.spinning = false
      sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
    sched.pointee.lock.lock(m)
    guard sched.pointee.stopping.load(ordering: .relaxed) else {
      // The world started again before the lock was free.
      sched.pointee.lock.unlock(m)
      return
    }
    let p = Processors.release(m)
    p.pointee.status = .stopped
    countStopped()
    sched.pointee.lock.unlock(m)
    Threads.stop(m)
  }

  /// One more P stands still. The caller holds `Sched.lock`.
  static func countStopped() {
    sched.pointee.stopWait -= 1
    if sched.pointee.stopWait == 0 { sched.pointee.stopNote.wake() }
  }

  /// Stops what can be stopped, for ever, for a fatal report (Go's `freezetheworld`): goroutines that come to a
  /// scheduling point within a moment. Takes no lock, since the thread that failed may hold it; the count that the
  /// stopped threads lower is too high to ever wake anybody.
  static func freeze() {
    sched.pointee.stopWait = Int32.max / 2
    sched.pointee.stopping.store(true, ordering: .sequentiallyConsistent)
    setAttention(1)
    Thread.sleep(nanoseconds: 1_000_000)
  }
}
