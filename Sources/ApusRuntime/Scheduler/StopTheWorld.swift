import CApus
import Synchronization

/// All Ps stand still: nobody runs goroutines but the caller (Go's `stopTheWorld`, `startTheWorld`).
///
/// Ps come to stand in four ways. An idle one, or one for which a thread is being created, is taken off its list. One whose
/// thread schedules, or is in the runtime, is given up by that thread (`stopHere`). One whose goroutine computes stays with
/// its thread, which a signal stops where it is (`preempt.c`), registers and all. And one whose thread sleeps in the
/// kernel is taken from it (`Claim`); the thread waits for a P when it comes back and uses the runtime.
enum StopTheWorld {
  /// What has to stand still.
  enum Extent: UInt8 {
    /// The Ps.
    case processors
    /// Also threads that have a goroutine and no P, since it was taken while they slept in the kernel, whether they sleep
    /// still or have come back: whoever reads the memory of goroutines wants this, and their registers.
    case everything
    /// The same, but of those threads only the ones whose goroutine may have references to managed objects. The others
    /// sleep on, or compute.
    case references

    /// `SchedHead.stopping`.
    fileprivate var word: UInt32 { self == .processors ? 1 : 2 }

    /// Whether the goroutine of a thread without a P has to stand still.
    fileprivate func includes(_ g: GRef) -> Bool { self == .everything || g.pointee.isInHeapScope }
  }

  /// How long goroutines stood still, for the collector and for everybody else: until all did, and until they went on. Who
  /// has `Sched.world` records.
  struct Pauses: ~Copyable {
    let collectorsStopping: TimeHistogram
    let collectorsTotal: TimeHistogram
    let othersStopping: TimeHistogram
    let othersTotal: TimeHistogram

    init() {
      let size = TimeHistogram.size
      let memory = PersistentMemory.map(bytes: 4 * size)
      collectorsStopping = TimeHistogram(in: memory)
      collectorsTotal = TimeHistogram(in: memory + size)
      othersStopping = TimeHistogram(in: memory + 2 * size)
      othersTotal = TimeHistogram(in: memory + 3 * size)
    }

    fileprivate func record(_ extent: Extent, stopping: Int64, total: Int64) {
      if extent == .references {
        collectorsStopping.record(stopping)
        collectorsTotal.record(total)
      } else {
        othersStopping.record(stopping)
        othersTotal.record(total)
      }
    }
  }

  /// What it stands still for, as traces have it.
  enum Reason: UInt8 {
    case processors, stacks, beginningOfCollection, endOfCollection, knobsOfCollector, trace
  }

  /// `SchedHead.stopping` while a fatal report is written: threads stop by themselves in the scheduler, but no signal
  /// stops one, since it might hold the lock of malloc, which the report needs. For the same reason those that were stopped
  /// go on, without a P, until they come to use the runtime. It is never taken back: whoever stops the world or starts it
  /// meanwhile leaves it as it is.
  private static var freezing: UInt32 { 3 }

  /// Whether it is being stopped, or stands.
  @inline(__always)
  static var isStopping: Bool { sched.pointee.head.stopping.load(ordering: .acquiring) != 0 }

  /// Stops the world for the duration of `body`, which runs on the calling goroutine, in the runtime (Section.swift): it
  /// must not park, allocate or count references. One caller at a time; others wait.
  static func run(_ extent: Extent = .processors, for reason: Reason = .processors, _ body: (MRef) -> Void) {
    _ = claim(waits: true)
    runClaimed(extent, for: reason, body)
  }

  /// The caller will be the one who stops the world, by `runClaimed`. False, if it does not wait, where somebody else is.
  static func claim(waits: Bool) -> Bool {
    if !waits { return sched.pointee.world.tryAcquire() }
    sched.pointee.world.acquire(1, .stoppingTheWorld)
    return true
  }

  /// `run`, by whoever has the claim.
  static func runClaimed(_ extent: Extent, for reason: Reason, _ body: (MRef) -> Void) {
    let m = acquireM()
    let isTraced = Trace.isOn && Trace.beginStop(reason, on: m)
    let asked = Clock.nanotime()
    sched.pointee.stopAsked = asked
    stop(m, extent)
    let took = Clock.nanotime() &- asked
    if took > sched.pointee.worstStop.load(ordering: .relaxed) {
      sched.pointee.worstStop.store(took, ordering: .relaxed)
    }
    body(m)
    start(m)
    sched.pointee.pauses.record(extent, stopping: took, total: Clock.nanotime() &- asked)
    if isTraced && Trace.isOn { apus_trace_stop_end(m.cM) }
    releaseM(m)
    sched.pointee.world.release()
  }

  private static func stop(_ m: MRef, _ extent: Extent) {
    sched.pointee.lock.lock(m)
    sched.pointee.head.stopWait.store(sched.pointee.maxProcs.load(ordering: .relaxed), ordering: .relaxed)
    // The caller, too, needs a CPU, and may have no P.
    let spins = MaxProcs.haveCPUs(besides: m.pointee.p == nil ? 1 : 0)
    sched.pointee.head.stopSpin.store(spins ? spinTime : 0, ordering: .relaxed)
    let isBegun = sched.pointee.head.stopping.compareExchange(
      expected: 0, desired: extent.word, ordering: .sequentiallyConsistent
    ).exchanged
    if !isBegun {
      // A fatal report is being written: the process ends under this thread.
      sched.pointee.lock.unlock(m)
      while true { Thread.sleep(nanoseconds: .max) }
    }
    setAttention(true)
    if let p = m.pointee.p { countStopped(p) }
    while let p = IdleLists.takeP() { countStopped(p) }
    while let p = TemplateThread.takeP() {
      if p.pointee.startsSpinning { sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
      countStopped(p)
    }
    sched.pointee.lock.unlock(m)
    // The caller keeps its thread: it must go on as soon as they stand. It asks again and again: a thread that was in the
    // runtime may be in user code now, and one that computed may sleep.
    while sched.pointee.head.stopWait.load(ordering: .acquiring) > 0 {
      for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
        ask(sched.pointee.allP[index].unsafelyUnwrapped, m)
      }
      if spins { spinForOthers() }
      // An earlier stop has left it set, or its last one has set it only now. In this order: who is the last of this stop
      // lowers `stopWait` before it sets `stopWake`.
      _ = sched.pointee.head.stopWake.exchange(0, ordering: .sequentiallyConsistent)
      if sched.pointee.head.stopWait.load(ordering: .sequentiallyConsistent) == 0 { break }
      Futex.wait(Futex.address(of: sched.pointee.head.stopWake), while: 0, nanoseconds: 100_000)
    }
    if extent != .processors { stopThreadsWithoutP(extent) }
    assert(sched.pointee.head.stopWait.load(ordering: .relaxed) == 0, "more Ps stand still than there are")
  }

  /// How long threads that stand still with their Ps wait for the world on their CPUs, in nanoseconds. A collector's stop
  /// mostly takes less, and to wake a thread that sleeps, on a CPU that sleeps, as long again. Only where there is a CPU for
  /// each, as far as was known at the start: where a process has got fewer since, the spins take CPU time from the stopper.
  private static var spinTime: Int64 { 200_000 }

  /// Waits for a moment until all stand still: a thread that computes does as soon as it has the signal.
  private static func spinForOthers() {
    let end = Clock.nanotime() + 20_000
    while sched.pointee.head.stopWait.load(ordering: .acquiring) > 0 && Clock.nanotime() < end { apus_spin_hint() }
  }

  /// Has `p`, if it runs, stand still, or soon.
  private static func ask(_ p: PRef, _ m: MRef) {
    guard p.pointee.status == .running, let owner = p.pointee.m, owner != m,
      owner.pointee.words.stopped.load(ordering: .relaxed) == UInt32(APUS_NOT_STOPPED)
    else { return }
    let told = apus_m_peek_told(owner.cM) != 0
    if apus_m_peek_locks(owner.cM) == 0 && (told || ThreadState.sleeps(owner)) {
      guard Claim.take(p, from: owner, told: told, as: .claimedByStopper, on: m) else { return }
      sched.pointee.lock.lock(m)
      countStopped(p)
      sched.pointee.lock.unlock(m)
      return
    }
    // In user code it stops in the handler; in the runtime it does when it leaves.
    _ = apus_preempt_send(owner.pointee.head.tid)
  }

  /// Stops the threads that have a goroutine and no P. One that sleeps in the kernel, told or not, is woken by the signal
  /// and stops in the handler, so that its registers are where they can be read; the call that it was in is begun again
  /// when the world goes on. No thread loses its P meanwhile: nobody has one but the caller.
  private static func stopThreadsWithoutP(_ extent: Extent) {
    var isDone = false
    while !isDone {
      isDone = true
      var threads = ThreadRecords()
      while let other = threads.next() {
        guard other.pointee.words.claim.load(ordering: .acquiring) == Claim.value(.lost),
          other.pointee.words.stopped.load(ordering: .acquiring) == UInt32(APUS_NOT_STOPPED),
          extent.includes(other.currentG)
        else { continue }
        isDone = false
        _ = apus_preempt_send(other.pointee.head.tid)
      }
      if !isDone { Thread.sleep(nanoseconds: 20_000) }
    }
  }

  private static func start(_ m: MRef) {
    // Before `Sched.lock` is taken, which ranks above the timers'.
    Expiry.evacuate(downTo: sched.pointee.nextMaxProcs, on: m)
    sched.pointee.lock.lock(m)
    var (withWork, resumed) = Processors.resize(
      to: sched.pointee.nextMaxProcs, for: m, needsP: m.pointee.p != nil)
    setAttention(false)
    let extent = sched.pointee.head.stopping.load(ordering: .relaxed)
    let goesOn =
      extent != freezing
      && sched.pointee.head.stopping.compareExchange(
        expected: extent, desired: 0, ordering: .sequentiallyConsistent
      ).exchanged
    if !goesOn { setAttention(true) }
    resumeThreads()
    sched.pointee.lock.unlock(m)
    while let next = resumed {
      resumed = next.pointee.idleLink
      next.pointee.idleLink = nil
      next.wakeUp()
    }
    while let p = withWork {
      withWork = p.pointee.link
      p.pointee.link = nil
      sched.pointee.lock.lock(m)
      Threads.start(p, spinning: false, holdingLockOf: m)
    }
    // There may be more work than the Ps with local work can see: let one thread look.
    Spinning.wake()
    Sysmon.wakeIfWaiting()
  }

  /// Lets the threads go on that a signal has stopped, those without a P too. Each takes its mark away itself if it finds
  /// the world running before it sleeps: whoever takes it decides whether there is a wake-up.
  private static func resumeThreads() {
    var threads = ThreadRecords()
    while let other = threads.next() {
      if other.pointee.words.stopped.compareExchange(
        expected: UInt32(APUS_STOPPED_BY_WORLD), desired: UInt32(APUS_NOT_STOPPED),
        ordering: .sequentiallyConsistent
      ).exchanged {
        other.wakeUp()
      }
    }
  }

  private static func setAttention(_ isSet: Bool) {
    Processors.each { p in
      if isSet {
        p.pointee.attention.bitwiseOr(Attention.stop, ordering: .relaxed)
      } else {
        p.pointee.attention.bitwiseAnd(~Attention.stop, ordering: .relaxed)
      }
    }
  }

  /// The thread of `m` gives its P to whoever stops the world, and goes idle (Go's `gcstopm`).
  static func stopHere(_ m: MRef) {
    if m.pointee.spinning {
      m.pointee.spinning = false
      sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
    sched.pointee.lock.lock(m)
    guard isStopping else {
      // The world started again before the lock was free.
      sched.pointee.lock.unlock(m)
      return
    }
    countStopped(Processors.release(m))
    sched.pointee.lock.unlock(m)
    Threads.stop(m)
  }

  /// One more P stands still. The caller holds `Sched.lock`.
  static func countStopped(_ p: PRef) {
    p.pointee.status = .stopped
    let left = sched.pointee.head.stopWait.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    if left == 0 {
      sched.pointee.head.stopWake.store(1, ordering: .releasing)
      Futex.wake(Futex.address(of: sched.pointee.head.stopWake))
    }
  }

  /// Stops what can be stopped, for ever, for a fatal report (Go's `freezetheworld`): goroutines that come to a
  /// scheduling point within a moment. Takes no lock, since the thread that failed may hold it; the count that the
  /// stopped threads lower is too high to ever wake anybody.
  static func freeze() {
    sched.pointee.head.stopWait.store(Int32.max / 2, ordering: .relaxed)
    sched.pointee.head.stopping.store(freezing, ordering: .sequentiallyConsistent)
    setAttention(true)
    var threads = ThreadRecords()
    while let other = threads.next() {
      let stopped = other.pointee.words.stopped.load(ordering: .acquiring)
      if stopped == UInt32(APUS_STOPPED_FOR_P) && other.pointee.head.stopped_context != nil { other.wakeUp() }
    }
    // Also those that a stopped world had stopped. Whoever has stopped it may be who failed.
    resumeThreads()
    Thread.sleep(nanoseconds: 1_000_000)
  }
}
