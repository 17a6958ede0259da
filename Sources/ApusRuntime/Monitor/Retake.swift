import CApus
import Synchronization

/// What sysmon does at a visit (Go's `retake`): Ps are taken from threads that sleep in the kernel, goroutines that have
/// run for too long are stopped, and threads that come to wait for a P get one that is idle.
enum Retake {
  /// What was seen of a P.
  struct Watch {
    /// The slice, and since when it lasts as far as is known.
    var tick: UInt32 = 0
    var since: Int64 = 0
    /// The region that was said to block, and when it was seen first.
    var syscallTick: UInt32 = 0
    var syscallSince: Int64 = 0
    /// How long after the last request to stop it is looked again whether that has had its effect.
    var reminder: Int64 = 0
  }

  /// A P is taken from a sleeping thread after this time also where nobody waits for it: only then can all of them be idle
  /// and sysmon rest.
  private static var patience: Int64 { 10_000_000 }
  /// When it is looked again whether a request to stop has had its effect: at first, and after twice as long each time, at
  /// most. A thread may be slow to stop, or, with the signal blocked, never do.
  private static var shortestReminder: Int64 { 50_000 }
  private static var longestReminder: Int64 { 5_000_000 }

  /// Who waits for a P, apart from the Ps' own queues.
  private struct Demand {
    /// A goroutine that was parked or has not begun, a thread that came back from the kernel, or a timer that is due.
    var isUrgent: Bool
    /// Goroutines that were stopped, or have to wait before they begin.
    var byHogs: Bool
    /// Whether there is an idle P, or a thread that looks for work.
    var isServed: Bool
  }

  /// Looks at every P. `retaken`: how many Ps were taken from sleeping threads. `next`: when something is due.
  static func visit(_ now: Int64, on m: MRef) -> (retaken: Int, next: Int64) {
    if StopTheWorld.isStopping { return (0, Int64.max) }
    serveStopped(now, on: m)
    let idle = sched.pointee.idlePCount.load(ordering: .sequentiallyConsistent)
    let nextPoll = poll(now, isFull: idle == 0, on: m)
    // While a P is idle, an idle thread waits for the timers and the poller. But the one that did may have found work, and
    // run it, which can be long: then another is to wait (IdleWait.swift).
    if idle != 0 && IdleWait.isMissing { Spinning.wake() }
    let timer = idle == 0 ? Timers.earliest() : TimerHeap.none
    let demand = Demand(
      isUrgent: !GlobalQueue.isEmpty || sched.pointee.returning.count.load(ordering: .relaxed) != 0 || timer <= now,
      byHogs: sched.pointee.preempted.count.load(ordering: .relaxed) != 0 || !UnstartedQueue.isEmpty,
      isServed: idle + sched.pointee.spinning.load(ordering: .relaxed) > 0)
    var retaken = 0
    var next = min(timer > now ? timer : Int64.max, remindOfHogs(now), UnstartedQueue.remind(now), nextPoll)
    var candidate: (p: PRef, owner: MRef, overdue: Int64)?
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
      guard let p = sched.pointee.allP[index], p.pointee.status == .running, let owner = p.pointee.m,
        apus_m_peek_p(owner.cM) == UnsafeMutableRawPointer(p)
      else { continue }
      let isNew = note(p, now)
      let ownWaits = !p.pointee.queue.isEmpty
      let isWaitedFor = ownWaits || demand.isUrgent || demand.byHogs
      if sched.pointee.returning.count.load(ordering: .relaxed) != 0 {
        p.pointee.attention.bitwiseOr(Attention.look, ordering: .relaxed)
      }
      if apus_m_peek_told(owner.cM) != 0 {
        let due = whenToldIsDue(p, now, isWaitedFor: isWaitedFor, demand)
        if due > now {
          next = min(next, due)
        } else if Claim.take(p, from: owner, told: true, as: .claimedBySysmon, on: m) {
          sched.pointee.syscallRetakes.wrappingAdd(1, ordering: .relaxed)
          Processors.handOff(p, from: m)
          retaken += 1
        }
        continue
      }
      let age = now &- p.pointee.watch.since
      if !isWaitedFor && age < patience {
        // Nobody waits. A thread that sleeps without a word is looked for later.
        continue
      }
      if !isNew && detects(owner) && Claim.take(p, from: owner, told: false, as: .claimedBySysmon, on: m) {
        sched.pointee.untoldBlocks.wrappingAdd(1, ordering: .relaxed)
        Processors.handOff(p, from: m)
        retaken += 1
        continue
      }
      if !isWaitedFor { continue }
      let overdue = age &- limit(p, isUrgent: ownWaits || demand.isUrgent)
      if overdue < 0 {
        next = min(next, now &- overdue)
      } else if ownWaits || !demand.isUrgent {
        next = min(next, now &+ stop(owner, p, on: m))
      } else if overdue >= candidate?.overdue ?? 0 {
        candidate = (p, owner, overdue)
      }
    }
    // Whatever waits for any P needs one of them.
    if let candidate {
      next = min(next, now &+ stop(candidate.owner, candidate.p, on: m))
    }
    return (retaken, next)
  }

  /// Go's sysmon polls the network when nobody has for 10 ms. While every P has a goroutine, here it does so after one:
  /// what is ready then waits for a slice's end at the most. When it is to look again.
  private static func poll(_ now: Int64, isFull: Bool, on m: MRef) -> Int64 {
    if !Netpoll.isInUse { return Int64.max }
    Netpoll.pollIfStale(now, isFull ? 1_000_000 : 10_000_000, on: m)
    return isFull && Netpoll.hasWaiters ? now &+ 1_000_000 : Int64.max
  }

  /// Notes which slice and which region the P is in; true when the slice is a new one.
  private static func note(_ p: PRef, _ now: Int64) -> Bool {
    let tick = p.pointee.schedTick
    if tick == p.pointee.watch.tick { return false }
    p.pointee.watch.tick = tick
    p.pointee.watch.reminder = 0
    let isKnown = p.pointee.sliceTick.load(ordering: .relaxed) == tick
    p.pointee.watch.since = isKnown ? p.pointee.sliceStart.load(ordering: .relaxed) : now
    return true
  }

  /// How long the slice is that the P is in, for the sake of those who wait.
  private static func limit(_ p: PRef, isUrgent: Bool) -> Int64 {
    let hasOwnThread = p.pointee.sliceTick.load(ordering: .relaxed) == p.pointee.watch.tick
    if isUrgent && hasOwnThread && p.pointee.sliceIsHogs.load(ordering: .relaxed) {
      return sched.pointee.slices.hog.load(ordering: .relaxed)
    }
    let slice =
      isUrgent
      ? sched.pointee.slices.fresh.load(ordering: .relaxed)
      : sched.pointee.slices.rotation.load(ordering: .relaxed)
    if hasOwnThread { return slice }
    return Slices.prolonged(slice, preempted: sched.pointee.preempted.count.load(ordering: .relaxed))
  }

  /// When a P inside a region that was said to block is to be taken: at the second visit that finds it in the same region
  /// if somebody wants it, or nobody else is there who could look for work; else after 10 ms.
  private static func whenToldIsDue(_ p: PRef, _ now: Int64, isWaitedFor: Bool, _ demand: Demand) -> Int64 {
    let tick = p.pointee.syscallTick.load(ordering: .relaxed)
    let isWanted = isWaitedFor || !demand.isServed
    if tick != p.pointee.watch.syscallTick {
      p.pointee.watch.syscallTick = tick
      p.pointee.watch.syscallSince = now
      return isWanted ? now &+ 20_000 : now &+ patience
    }
    return isWanted ? now : p.pointee.watch.syscallSince &+ patience
  }

  /// Whether the thread of `m` sleeps without having said so.
  private static func detects(_ m: MRef) -> Bool {
    sched.pointee.knobs.blockdetectoff == 0 && apus_m_peek_locks(m.cM) == 0 && ThreadState.sleeps(m)
  }

  /// Asks the thread of `owner`, which runs a goroutine with `p`, to stop. When to look again.
  private static func stop(_ owner: MRef, _ p: PRef, on m: MRef) -> Int64 {
    SpareThreads.ensure(m)
    owner.pointee.words.preempt.store(1, ordering: .relaxed)
    p.pointee.attention.bitwiseOr(Attention.look, ordering: .relaxed)
    if sched.pointee.head.asyncPreemptOff.load(ordering: .relaxed) == 0 {
      _ = apus_preempt_send(owner.pointee.head.tid)
    }
    p.pointee.watch.reminder = min(max(p.pointee.watch.reminder * 2, shortestReminder), longestReminder)
    return p.pointee.watch.reminder
  }

  /// Preempted goroutines that have waited for `rotation` come before everything else, once. When that will be.
  private static func remindOfHogs(_ now: Int64) -> Int64 {
    if sched.pointee.preempted.count.load(ordering: .relaxed) == 0 { return Int64.max }
    let rotation = sched.pointee.slices.rotation.load(ordering: .relaxed)
    let due = sched.pointee.lastHogResumed.load(ordering: .relaxed) &+ rotation
    if due > now { return due }
    sched.pointee.hogsAreDue.store(true, ordering: .relaxed)
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
      sched.pointee.allP[index]?.pointee.attention.bitwiseOr(Attention.look, ordering: .relaxed)
    }
    return now &+ rotation
  }

  /// Receives threads that come by a handler. Those that wait also get a P for which a thread is being created that does
  /// not come: the lock of malloc may be held by a goroutine that waits here.
  private static func serveStopped(_ now: Int64, on m: MRef) {
    SpareThreads.reclaimSuccessor(m)
    StoppedThreads.receiveArrivals(m)
    while StoppedThreads.areWaiting && now &- sched.pointee.startingSince.load(ordering: .relaxed) > 1_000_000 {
      sched.pointee.lock.lock(m)
      guard !StopTheWorld.isStopping, StoppedThreads.areWaiting, let p = TemplateThread.takeP() else {
        sched.pointee.lock.unlock(m)
        return
      }
      if p.pointee.startsSpinning { sched.pointee.spinning.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
      let next = (StoppedThreads.take(.returning) ?? StoppedThreads.take(.preempted)).unsafelyUnwrapped
      Processors.give(p, to: next)
      sched.pointee.lock.unlock(m)
      next.wakeUp()
    }
  }
}
