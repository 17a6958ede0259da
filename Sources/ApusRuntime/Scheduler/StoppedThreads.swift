import CApus
import Synchronization

/// Threads that have a goroutine and no P: stopped in the signal handler because the goroutine ran for too long, or come
/// back from a sleep in the kernel during which their P was taken. Each sleeps until it is given a P, and goes on where it
/// was; the goroutine cannot go on anywhere else.
///
/// There are two queues. Who *returns* has slept, and is treated as a goroutine that was made ready: it is served before
/// the local queue, but never twice in a row on one P while somebody else waits there. Who was *preempted* is a hog: it is
/// served when nothing else is runnable, and now and then before everything else, so that it makes progress in a program
/// that never rests (`Sched.hogsAreDue`).
///
/// Hogs take turns of `Slices.rotation`. One that is stopped within its turn, for somebody who woke up, goes on first
/// afterwards: the thread finds its CPU where it left it. (When they changed places at each wake-up, the kernel's run
/// queues of the CPUs were out of balance for milliseconds: two hogs on one, none on the other.)
///
/// A thread in a handler takes no lock, so it comes by `SchedHead.arrivals`, and whoever gets its P, or sysmon, moves it
/// to its queue (`receiveArrivals`).
///
/// No P is on the idle list while a queue holds a thread: a P is put there, and a thread queued, under `Sched.lock`, and
/// each looks for the other first.
enum StoppedThreads {
  /// A queue of Ms by their links; under `Sched.lock`. The count may be read without.
  struct Queue: ~Copyable {
    private var first: MRef?
    private var last: MRef?
    let count = Atomic<Int>(0)

    mutating func append(_ m: MRef) {
      m.pointee.idleLink = nil
      if let last { last.pointee.idleLink = m } else { first = m }
      last = m
      count.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    mutating func prepend(_ m: MRef) {
      m.pointee.idleLink = first
      if first == nil { last = m }
      first = m
      count.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    mutating func removeFirst() -> MRef? {
      guard let m = first else { return nil }
      first = m.pointee.idleLink
      if first == nil { last = nil }
      m.pointee.idleLink = nil
      count.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      return m
    }
  }

  /// From so many preempted threads on, unstarted goroutines wait: each that turns out to be a hog costs one more thread.
  static var many: Int { 64 }

  /// Whether there are.
  @inline(__always)
  static var areMany: Bool { sched.pointee.preempted.count.load(ordering: .relaxed) >= many }

  /// Whether anybody waits in either queue.
  @inline(__always)
  static var areWaiting: Bool {
    sched.pointee.returning.count.load(ordering: .relaxed) != 0
      || sched.pointee.preempted.count.load(ordering: .relaxed) != 0
  }

  /// `m` comes back from the kernel. The caller holds `Sched.lock`, and has found no idle P.
  static func enqueueReturning(_ m: MRef) {
    Latency.makeReady(m.currentG)
    if Trace.isOn { apus_trace_queued(m.cM) }
    sched.pointee.returning.append(m)
  }

  /// Moves those that came by a handler to their queue. The caller is `m`, on g0, with a P or without.
  @inline(__always)
  static func receiveArrivals(_ m: MRef) {
    if sched.pointee.head.arrivals.load(ordering: .relaxed) != nil { receiveArrivalsSlowly(m) }
  }

  @inline(never)
  private static func receiveArrivalsSlowly(_ m: MRef) {
    sched.pointee.lock.lock(m)
    receiveArrivalsLocked()
    sched.pointee.lock.unlock(m)
  }

  /// The same under `Sched.lock`.
  static func receiveArrivalsLocked() {
    var next = sched.pointee.head.arrivals.exchange(nil, ordering: .sequentiallyConsistent)
    // Newest first: turned around, so that who came first is served first.
    var reversed: MRef?
    while let arrival = next {
      next = arrival.pointee.arrivalLink
      arrival.pointee.arrivalLink = reversed
      reversed = arrival
    }
    if reversed != nil && sched.pointee.preempted.count.load(ordering: .relaxed) == 0 {
      sched.pointee.lastHogResumed.store(Clock.nanotime(), ordering: .relaxed)
    }
    while let arrival = reversed {
      reversed = arrival.pointee.arrivalLink
      arrival.pointee.arrivalLink = nil
      enqueue(arrival)
    }
  }

  /// The thread whose goroutine `g` is, whether it runs or is stopped; nil when it is on none, or was just then.
  static func threadRunning(_ g: GRef) -> MRef? {
    var threads = ThreadRecords()
    while let m = threads.next() {
      if m.currentG == g { return m }
    }
    return nil
  }

  /// Gives the stopped thread of `m` a P that nobody has, or puts it into the queue of the preempted: at its end, or in
  /// front, where it was before, or where its turn is not over. The caller holds `Sched.lock`.
  static func enqueue(_ m: MRef, inFront: Bool = false) {
    Latency.makeReady(m.currentG)
    if Trace.isOn { apus_trace_queued(m.cM) }
    if !StopTheWorld.isStopping, let p = IdleLists.takeFreeP() {
      Processors.give(p, to: m)
      m.wakeUp()
    } else if inFront || m.pointee.turnEnd > Clock.nanotime() {
      sched.pointee.preempted.prepend(m)
    } else {
      m.pointee.turnEnd = 0
      sched.pointee.preempted.append(m)
    }
  }

  /// Which queue.
  enum Kind {
    case returning
    case preempted
  }

  /// The next one of the queue, off it; nil when there is none. The caller holds `Sched.lock`, and gives it a P.
  static func take(_ kind: Kind) -> MRef? {
    switch kind {
    case .returning:
      return sched.pointee.returning.removeFirst()
    case .preempted:
      guard let m = sched.pointee.preempted.removeFirst() else { return nil }
      let now = Clock.nanotime()
      sched.pointee.hogsAreDue.store(false, ordering: .relaxed)
      sched.pointee.lastHogResumed.store(now, ordering: .relaxed)
      if m.pointee.turnEnd == 0 { m.pointee.turnEnd = now &+ sched.pointee.slices.rotation.load(ordering: .relaxed) }
      return m
    }
  }

  /// The first preempted one, off the queue, to be `SchedHead.successor`. Its turn does not begin: mostly it comes back.
  static func takeSuccessor() -> MRef? {
    sched.pointee.preempted.removeFirst()
  }

  /// Gives the P of `m`, which is on g0 and has nothing better to run, to the next one of the queue, and goes idle. False
  /// when there is none. Afterwards `m` has a P again, or is to end. `isDue`: a preempted one whose turn has come before
  /// others'; it gets the slice of a goroutine that is none of the hogs.
  static func resumeNext(_ kind: Kind, from m: MRef, isDue: Bool = false) -> Bool {
    let count =
      kind == .returning
      ? sched.pointee.returning.count.load(ordering: .relaxed)
      : sched.pointee.preempted.count.load(ordering: .relaxed)
    if count == 0 { return false }
    sched.pointee.lock.lock(m)
    guard !StopTheWorld.isStopping, let next = take(kind) else {
      sched.pointee.lock.unlock(m)
      return false
    }
    let p = Processors.release(m)
    p.pointee.hasServedStopped = kind == .returning || isDue
    if kind == .preempted { p.pointee.hasBegunDeferred = false }
    Processors.give(p, to: next, isHog: kind == .preempted && !isDue)
    sched.pointee.lock.unlock(m)
    if m.pointee.spinning { Spinning.stop(m) }
    Timers.announce(m)
    next.wakeUp(leavesCPU: true)
    Threads.stop(m)
    return true
  }
}
