import CApus
import Synchronization

/// Ends the process when no goroutine can ever run again (Go's `checkdead`): `fatal error: all goroutines are asleep -
/// deadlock!` and the goroutines.
///
/// It looks whenever a thread of the runtime goes idle, waits for the goroutine locked to it, or ends, under `Sched.lock`.
/// The program is dead when at one moment
///
/// 1. every thread of the runtime is on the idle list or waits for its locked goroutine. A thread is counted in
///    `threadCount` before it is created, and off the idle list (or off `lockedIdle`) before it is woken, all under the
///    lock; so a thread in flight, one in a system call and one that the kernel has not run yet count as running. A thread
///    of the runtime goes idle only after the second look of Spinning.swift, so with all of them idle no queue holds
///    anything that the runtime itself put there. The main thread of a program with an asynchronous `main` sleeps in
///    libdispatch, which may wake somebody, and is never idle;
/// 2. no timer is pending and no goroutine waits for a descriptor. The thread that waits for the clock and the poller in
///    `IdleWait` is not on the idle list besides; where it is the only one that is not, and its timers are called off, it is
///    told to look (`IdleWait.endIfInVain`);
/// 3. the kernel knows no other thread of the process. Any other could make a goroutine ready, and whatever it does to the
///    runtime's state before it ends, it has done: a goroutine that it made ready is in a queue, and the thread that it
///    woke or asked for counts as running, by 1.
///
/// Only idle threads can end this state, and nobody is left to wake one: signal handlers may not use the runtime. The
/// runtime's own goroutines are not looked at, so they avert nothing.
///
/// The kernel's count is one number, read in one system call, and not a list of threads: a list that is read while one
/// thread creates another and ends may show neither. It still holds a thread that is about to end, ours or another,
/// whose destructors of thread-local storage may yet send on a channel. Nobody tells when it is gone, so where only the
/// kernel's count speaks against a deadlock, the *watcher* looks again: a thread of its own, made the first time it is
/// needed, after 50 µs and then each time after twice as long. A program that waits for a thread of somebody else's for an
/// hour is woken 26 times for it.
///
/// While a thread of somebody else's that has used the runtime lives, nothing is asked of the kernel. Its end is noticed
/// by a destructor of thread-local storage, which looks as the runtime's own threads do. In a program that was not started
/// by our entry point the main thread is somebody else's, and there is never a report. Neither is there one where /proc is
/// not mounted.
struct DeadlockDetector {
  // All under `Sched.lock`.
  /// m0 is the main thread.
  var isOn = false
  /// Threads that wait for the goroutine locked to them (Go's `nmidlelocked`). Below zero for a moment, when one is handed
  /// its goroutine before it has come to wait.
  var lockedIdle: Int64 = 0
  /// Living threads that the runtime did not make and that have used it.
  var foreign: Int64 = 0
  /// Living threads of the runtime that are not in `threadCount`: sysmon and the template thread, which make nobody
  /// runnable while all threads are idle; the watcher; each `ServiceThread`; and m0's when its goroutine has ended it. Each
  /// counts itself: one that was counted before it lives would stand for a thread of somebody else's that lives.
  var sleepers: Int64 = 0

  private enum Watcher {
    case missing
    /// Waits to be asked.
    case asleep
    /// Was asked, or looks again by itself.
    case awake
  }
  private var watcher = Watcher.missing
  private var watcherM: MRef?

  private enum Verdict {
    case alive
    case dead
    /// Dead, but for a thread that the kernel counts and the runtime does not know.
    case undecided
  }

  /// Looks, and releases `Sched.lock`, which the caller holds on `m`.
  @inline(__always)
  static func checkAndUnlock(_ m: MRef) {
    let busy =
      sched.pointee.threadCount - Int64(sched.pointee.head.idleMCount.load(ordering: .relaxed))
      - sched.pointee.deadlock.lockedIdle
    if busy == 0 {
      checkIdle(m)
    } else {
      sched.pointee.lock.unlock(m)
      if busy == 1 { IdleWait.endIfInVain() }
    }
  }

  @inline(never)
  private static func checkIdle(_ m: MRef) {
    switch verdict(m) {
    case .alive: sched.pointee.lock.unlock(m)
    case .dead: report(m)
    case .undecided: askWatcher(m)
    }
  }

  private static func verdict(_ m: MRef) -> Verdict {
    let idle = Int64(sched.pointee.head.idleMCount.load(ordering: .relaxed)) + sched.pointee.deadlock.lockedIdle
    if !sched.pointee.deadlock.isOn || sched.pointee.threadCount != idle { return .alive }
    if sched.pointee.deadlock.foreign > 0 || Timers.arePending || Netpoll.hasWaiters { return .alive }
    // A report in progress holds others up for ever.
    if StopTheWorld.isStopping { return .alive }
    let known = sched.pointee.threadCount + sched.pointee.deadlock.sleepers
    guard let living = ThreadCensus.count(), living >= known else { return .alive }
    return living == known ? .dead : .undecided
  }

  /// Nobody is left who could take a lock or change anything.
  private static func report(_ m: MRef) -> Never {
    let slabs = GoroutineRegistry.lockedSlabs(m)
    sched.pointee.lock.unlock(m)
    var waiting = 0
    var runnable = 0
    GoroutineRegistry.eachRecord(of: slabs) { g in
      if g.pointee.kind != .user { return }
      switch g.pointee.status {
      // One that still counts as running has lost its thread by `pthread_exit`.
      case .dead, .running: break
      case .waiting: waiting += 1
      case .runnable: runnable += 1
      }
    }
    if runnable > 0 { FatalReport.fatalError("checkdead: runnable g") }
    if waiting == 0 { FatalReport.deadlock("no goroutines (main called runtime.Goexit) - deadlock!") }
    FatalReport.deadlock("all goroutines are asleep - deadlock!")
  }
}

extension DeadlockDetector {
  /// How long after it was asked the watcher looks first, in nanoseconds.
  private static var firstDelay: Int64 { 50_000 }

  /// Has the watcher look again in a while. Releases `Sched.lock`.
  private static func askWatcher(_ m: MRef) {
    switch sched.pointee.deadlock.watcher {
    case .awake:
      sched.pointee.lock.unlock(m)
    case .asleep:
      sched.pointee.deadlock.watcher = .awake
      sched.pointee.deadlock.watcherM.unsafelyUnwrapped.wakeUp()
      sched.pointee.lock.unlock(m)
    case .missing:
      sched.pointee.deadlock.watcher = .awake
      sched.pointee.lock.unlock(m)
      // Creating a thread allocates.
      let watcher = Threads.takeForScheduler(id: -1)
      if Thread.start({ DeadlockDetector.watch($0) }, UnsafeMutableRawPointer(watcher)) == 0 { return }
      // No watcher then: perhaps the next time.
      ThreadRecord.free(watcher)
      sched.pointee.lock.lock(m)
      sched.pointee.deadlock.watcher = .missing
      sched.pointee.lock.unlock(m)
    }
  }

  /// The calling thread, `m`, is one of the sleepers.
  static func countItself(_ m: MRef) {
    sched.pointee.lock.lock(m)
    sched.pointee.deadlock.sleepers += 1
    sched.pointee.lock.unlock(m)
  }

  /// The body of the watcher's thread.
  private static func watch(_ argument: UnsafeMutableRawPointer?) -> Never {
    let m = argument.unsafelyUnwrapped.assumingMemoryBound(to: M.self)
    Threads.makeCurrent(m)
    Thread.setName("apus-watcher")
    Thread.blockSignals()
    countItself(m)
    var delay = firstDelay
    while true {
      Thread.sleep(nanoseconds: delay)
      sched.pointee.lock.lock(m)
      sched.pointee.deadlock.watcherM = m
      switch verdict(m) {
      case .dead:
        report(m)
      case .undecided:
        sched.pointee.lock.unlock(m)
        delay = min(delay * 2, 1 << 61)
      case .alive:
        sched.pointee.deadlock.watcher = .asleep
        sched.pointee.lock.unlock(m)
        m.sleep()
        delay = firstDelay
      }
    }
  }
}
