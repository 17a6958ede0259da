import CApus
import Synchronization

/// The wait of an idle thread for the clock and the poller: the part of Go's `findRunnable` around its blocking `netpoll`,
/// and `wakeNetPoller`.
///
/// At most one thread waits here, without a P; the other idle ones sleep on their own notes until they are handed a P.
/// Whoever goes idle looks at the timers of all Ps and at the number of goroutines that wait for a descriptor: when there
/// are any and nobody waits for them, it does; when somebody waits, but for longer, it has that one look again. When an
/// event or the time has come the thread takes an idle P and runs what is due. When no P is idle, every P has a thread,
/// which looks at its own timers at each scheduling, and at all Ps' and the poller before it goes idle.
///
/// It waits in the poller, or on a futex as long as the process has none.
///
/// ## No timer is overlooked
///
/// The thread that arms a timer which is its heap's first, and a thread that goes idle:
///
///     arms: store `nextWhen`;  read `lastPoll`:  0 → somebody waits: `pollUntil` 0 or later than the timer → interrupt
///                              not 0 → read `idlePCount`, `spinning`: start a spinner if a P is idle and nobody spins
///     idle: put the P on the idle list;  lower `spinning`, if counted there;  read every `nextWhen` (`earliest`);
///           exchange `lastPoll` with 0;  store `pollUntil`;  block;  store `pollUntil` 0;  store `lastPoll` not 0
///
/// All of these are sequentially consistent. If the look at `nextWhen` misses the timer, it came before the store, and
/// all that the idle thread did before it is seen by the arming one. If that finds `lastPoll` not 0, it came before the
/// exchange: then it finds an idle P. It starts a spinner, which before it sleeps looks at all timers itself; or somebody
/// spins already, who has not lowered `spinning` yet, and so will look later than the store. If it finds `lastPoll` 0, it
/// reads `pollUntil` as 0 (not stored yet, or the wait is over) or as the time that is waited for, and interrupts in
/// either case that matters. An interruption is remembered in `interrupted` until the wait that it is meant for, or the
/// next one, returns at once: one too many does no harm.
///
/// At the end of a wait: an interruption between the last test of `interrupted` and the store of `lastPoll` reaches
/// nobody that sleeps. But this thread now takes a P and looks at all timers before it goes idle again; and when it
/// finds no idle P, then every P went from the idle list to a thread which does the same.
///
/// ## Who waited has found work
///
/// Then nobody waits, and the thread, which may run its goroutine for long, wakes nobody, though other Ps are idle: mostly
/// it will be back soon. sysmon, which the P that left the idle list has woken, sees that nobody waits (`isMissing`), and
/// starts a spinner, which waits when it finds nothing.
///
/// ## Nobody waits for what is called off
///
/// A timer may be called off while a thread waits for it here. That thread would notice when the time has come, which is
/// soon enough but for one thing: meanwhile it is not idle, so a deadlock is not seen. Hence the last of the others to go
/// idle has it look (`endIfInVain`):
///
///     idles: (some thread has stored `nextWhen` none)  full barrier;  read `lastPoll`:  0 → no timer left: interrupt
///     waits: exchange `lastPoll` with 0;  store `pollUntil`;  read every `nextWhen` once more: none → do not block
///
/// If the one reads `lastPoll` before it was exchanged, the other reads `nextWhen` after it was stored.
///
/// A thread that is not the runtime's, or a P that is handed off, and a goroutine that waits for a descriptor: the same,
/// with the count of waiters in place of `nextWhen`.
///
/// ## The poller's beginning
///
/// Whether to wait on the futex or in the poller is decided by `Netpoll.isInitialised`, which is read before
/// `interrupted` and, by an interruption, after it was set. So where the waiter reads false and is on its way to the futex
/// when the poller comes into being, `moveToPoller` ends that wait; and where an interruption reads false, and so wakes
/// the futex, a waiter that has read true sees `interrupted` set, and does not wait.
///
/// ## A P goes idle with timers in its heap
///
/// They stay there. It goes idle either through `FindRunnable`, whose thread then comes here, with the P on the idle
/// list already; or its goroutine keeps its thread without it (`Processors.handOff`), which ends in `wake(for:)`; or the
/// world starts again (`StopTheWorld`), which ends by starting a spinner.
public struct IdleWait: ~Copyable {
  /// When somebody last waited here (nanoseconds; 1 for never); 0 while somebody does.
  let lastPoll = Atomic<Int64>(1)
  /// Until when the one that waits does so; 0 when nobody waits or it is not known yet.
  let pollUntil = Atomic<Int64>(0)
  /// 1: the wait, or the next one, is to return. The futex.
  private let interrupted = Atomic<UInt32>(0)
  /// By how much earlier than it is to go on a thread asks to be woken.
  private let lead = Atomic<Int64>(0)

  init() {}

  /// Blocks the calling thread until `when`, an event, or an interruption. Whom the events have woken.
  ///
  /// The kernel lets a thread go on some time after the one that it asked for: 20 to 100 microseconds where the CPU has to
  /// be woken from a deep sleep. So it asks for an earlier time (`WakeLead`), and spends the rest spinning: the CPU has
  /// nothing else to do, and would be on its way out of its sleep otherwise. At most an eighth of the wait.
  private func block(until when: Int64, on m: MRef) -> GQueue {
    var woken = GQueue()
    let wait =
      when == TimerHeap.none
      ? nil : TimedWait(until: when, lead: lead.load(ordering: .relaxed), now: Clock.nanotime())
    waiting: while woken.count == 0 {
      // In this order: see "The poller's beginning".
      let hasPoller = Netpoll.isInitialised
      if interrupted.load(ordering: .sequentiallyConsistent) != 0 { break }
      guard let wait else {
        if hasPoller { woken = Netpoll.poll(-1, on: m) }
        break
      }
      switch wait.step(now: Clock.nanotime()) {
      case .over:
        break waiting
      case .spin:
        // Nobody else looks for events meanwhile.
        if hasPoller { woken = Netpoll.poll(0, on: m) }
        for _ in 0..<20 { apus_spin_hint() }
      case .sleep(let nanoseconds):
        if hasPoller {
          woken = Netpoll.poll(nanoseconds, on: m)
        } else {
          Futex.wait(address, while: 0, nanoseconds: nanoseconds)
        }
        if interrupted.load(ordering: .relaxed) != 0 || woken.count > 0 { break waiting }
        if let late = wait.lateness(now: Clock.nanotime()) {
          lead.store(WakeLead.next(lead.load(ordering: .relaxed), late: late), ordering: .relaxed)
        }
      }
    }
    interrupted.store(0, ordering: .sequentiallyConsistent)
    return woken
  }

  /// Ends the wait, or the next one (Go's `netpollBreak`).
  private func interrupt() {
    if interrupted.exchange(1, ordering: .sequentiallyConsistent) != 0 { return }
    if Netpoll.isInitialised { Netpoll.interrupt() } else { Futex.wake(address) }
  }

  /// The poller has just come into being: whoever waits on the futex is to wait there.
  func moveToPoller() {
    if interrupted.exchange(1, ordering: .sequentiallyConsistent) != 0 { return }
    Futex.wake(address)
    Netpoll.interrupt()
  }

  private var address: UnsafeMutablePointer<UInt32> {
    _read {
      yield withUnsafePointer(to: interrupted) {
        UnsafeMutableRawPointer(mutating: UnsafeRawPointer($0)).assumingMemoryBound(to: UInt32.self)
      }
    }
  }

  /// A timer for `when` was armed: makes sure that somebody looks at it in time (Go's `wakeNetPoller`), and at the poller.
  /// The caller holds no lock.
  static func wake(for when: Int64) {
    if sched.pointee.idleWait.lastPoll.load(ordering: .sequentiallyConsistent) == 0 {
      let until = sched.pointee.idleWait.pollUntil.load(ordering: .sequentiallyConsistent)
      if until == 0 || until > when { sched.pointee.idleWait.interrupt() }
    } else if sched.pointee.idlePCount.load(ordering: .sequentiallyConsistent) != 0 {
      Spinning.wake()
    } else {
      // Every P has a goroutine, which may be long at it.
      Sysmon.expect(when)
    }
  }

  /// Whether nobody waits here, though there is something to wait for.
  static var isMissing: Bool {
    sched.pointee.idleWait.lastPoll.load(ordering: .sequentiallyConsistent) != 0
      && (Timers.arePending || Netpoll.hasWaiters)
  }

  /// All threads of the runtime but one are idle, or wait for their locked goroutines: has that one look at the timers if
  /// it waits here for none. The caller holds no lock.
  static func endIfInVain() {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if sched.pointee.idleWait.lastPoll.load(ordering: .sequentiallyConsistent) == 0 && !Timers.arePending
      && !Netpoll.hasWaiters
    {
      sched.pointee.idleWait.interrupt()
    }
  }

  /// The thread of `m` has no P and nothing to do: waits for the clock and the poller if nobody does and there is
  /// something to wait for, else sleeps until it is handed a P. It has one when this returns, and looks for work again.
  static func waitOrStop(_ m: MRef) {
    // The look that follows is the announcement.
    m.pointee.unannounced = 0
    let until = Timers.earliest()
    if until == TimerHeap.none && !Netpoll.hasWaiters {
      Threads.stop(m)
      return
    }
    if sched.pointee.idleWait.lastPoll.exchange(0, ordering: .sequentiallyConsistent) == 0 {
      let others = sched.pointee.idleWait.pollUntil.load(ordering: .sequentiallyConsistent)
      if until != TimerHeap.none && (others == 0 || others > until) { sched.pointee.idleWait.interrupt() }
      Threads.stop(m)
      return
    }
    sched.pointee.idleWait.pollUntil.store(until, ordering: .sequentiallyConsistent)
    var woken = GQueue()
    if Timers.arePending || Netpoll.hasWaiters { woken = sched.pointee.idleWait.block(until: until, on: m) }
    sched.pointee.idleWait.pollUntil.store(0, ordering: .sequentiallyConsistent)
    sched.pointee.idleWait.lastPoll.store(max(Clock.nanotime(), 1), ordering: .sequentiallyConsistent)
    sched.pointee.lock.lock(m)
    let p = StopTheWorld.isStopping ? nil : IdleLists.takeP()
    sched.pointee.lock.unlock(m)
    guard let p else {
      Park.inject(&woken)
      // Now sysmon has to look after what is due.
      Sysmon.expect(Timers.earliest())
      Threads.stop(m)
      return
    }
    Processors.acquire(p, for: m)
    var hasWork = false
    if woken.count > 0 {
      Park.ready(&woken, on: m)
      hasWork = true
    }
    if Expiry.checkAll(on: m) { hasWork = true }
    // Without work it is counted as a spinner, so that others know of somebody who looks. With work it was none, and need
    // not start the next.
    if !hasWork {
      Spinning.start(m)
    } else if sched.pointee.idlePCount.load(ordering: .sequentiallyConsistent) == 0 {
      Sysmon.expect(Timers.earliest())
    }
  }
}
