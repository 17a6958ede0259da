import CApus
import Synchronization

/// The thread that watches the Ps (Go's `sysmon`). It needs no P, so it runs whatever the goroutines do.
///
/// It sleeps for 20 microseconds between two visits; after 50 in a row at which no P had to be taken from a sleeping
/// thread, for twice as long each time, up to 10 milliseconds; and never beyond the next moment at which something is due:
/// the end of a slice while others wait, or a timer while every P has a goroutine.
///
/// While it sleeps for more than a millisecond it *rests*. Whoever makes a goroutine runnable and finds no idle P pokes a
/// resting sysmon, which then looks when the slices end. It sets `isResting` before it looks and clears it afterwards if it
/// will not rest: so either the one who submits sees the flag, or sysmon sees what was submitted. After a poke it looks
/// again within half a millisecond, and does not rest before, so it is not poked more often than that.
///
/// When there is nothing to watch, since all Ps are idle or the world stands still, it *waits*, for a minute at the most,
/// until the first P is taken off the idle list: an idle process has no other periodic wake-up, but for some seconds after
/// many goroutines have ended (`StackScavenging`). Back from there it goes on with
/// the delay that it had, so a program that wakes up a thousand times in a second wakes it a hundred times. (Go's does so
/// when a timer wakes it, and begins with 20 microseconds when a goroutine that comes back from a system call does.)
public struct Sysmon: ~Copyable {
  /// See above.
  let isResting = Atomic<Bool>(false)
  /// Until when it sleeps, `Int64.max` while it does not: a timer that is armed for earlier, while every P has a goroutine,
  /// wakes it. Stored before it looks at the timers, and when it has.
  private let sleepsUntil = Atomic<Int64>(Int64.max)
  /// Waits for the first P to be taken. Written under `Sched.lock`.
  let isWaiting = Atomic<Bool>(false)

  private static var shortest: Int64 { 20_000 }
  private static var longest: Int64 { 10_000_000 }
  private static var idleRounds: Int { 50 }
  /// A sleep that is longer is a rest.
  private static var rest: Int64 { 1_000_000 }
  /// After a poke it looks again after this time at the latest, and does not rest before: beside goroutines that make
  /// each other runnable without end each visit would be followed by a poke and another visit at once.
  private static var afterwards: Int64 { 500_000 }
  /// The longest time for which it waits.
  private static var longestWait: Int64 { 60_000_000_000 }
  /// Its time slice in the kernel: short, so that it runs as soon as it wakes, beside hogs on every CPU.
  private static var kernelSlice: Int64 { 100_000 }

  /// Starts the thread. The template thread does so.
  static func start() {
    let new = Threads.takeForScheduler(id: -1)
    let error = Thread.start({ Sysmon.run($0) }, UnsafeMutableRawPointer(new))
    if error != 0 { FatalReport.cannotStartThread(have: 2, error: error) }
  }

  private static func run(_ argument: UnsafeMutableRawPointer?) -> Never {
    let m = argument.unsafelyUnwrapped.assumingMemoryBound(to: M.self)
    Threads.makeCurrent(m)
    Thread.setName("apus-sysmon")
    Thread.blockSignals()
    DeadlockDetector.countItself(m)
    apus_timer_slack_minimal()
    apus_request_short_slices(kernelSlice)
    chooseSource()
    ReportRequest.serve()
    var rounds = 0
    var delay = shortest
    var wasPoked = false
    var trace = SchedulerTrace()
    var cooling = StackCooling()
    var scavenging = StackScavenging()
    while true {
      if rounds == 0 {
        delay = shortest
      } else if rounds > idleRounds {
        delay = min(delay * 2, longest)
      }
      sched.pointee.sysmon.sleepsUntil.store(Int64.max, ordering: .sequentiallyConsistent)
      let mayRest = delay > rest && !wasPoked
      if mayRest { sched.pointee.sysmon.isResting.store(true, ordering: .sequentiallyConsistent) }
      if !trace.isOn { waitForSomethingToWatch(&cooling, until: scavenging.next, on: m) }
      let now = Clock.nanotime()
      let visit = Retake.visit(now, on: m)
      rounds = visit.retaken > 0 ? 0 : rounds + 1
      ForcedCollection.check(at: now)
      Shelver.check(at: now)
      cooling.visit(now, on: m)
      scavenging.visit(now, isIdle: hasNothingToWatch, on: m)
      trace.writeIfDue(now, on: m)
      let limit = wasPoked ? min(delay, afterwards) : delay
      let isLeft = sleep(until: min(now &+ limit, visit.next, trace.next))
      wasPoked = mayRest && !isLeft
    }
  }

  /// Whether `isResting` was left as it was.
  private static func sleep(until when: Int64) -> Bool {
    let length = when &- Clock.nanotime()
    var isLeft = true
    if length <= rest { isLeft = sched.pointee.sysmon.isResting.exchange(false, ordering: .relaxed) }
    sched.pointee.sysmon.sleepsUntil.store(when, ordering: .sequentiallyConsistent)
    if length > 0 { Futex.wait(address, while: 0, nanoseconds: length) }
    sched.pointee.head.sysmonWake.store(0, ordering: .sequentiallyConsistent)
    ReportRequest.serve()
    return isLeft && (length <= rest || sched.pointee.sysmon.isResting.load(ordering: .relaxed))
  }

  /// Go's `sysmonwait`. Not beyond `end`.
  private static func waitForSomethingToWatch(
    _ cooling: inout StackCooling, until end: @autoclosure () -> Int64, on m: MRef
  ) {
    if !hasNothingToWatch { return }
    cooling.finish(while: hasNothingToWatch, on: m)
    sched.pointee.lock.lock(m)
    // Under the lock by which the last P went idle: what its goroutines have put into the pools is seen.
    guard hasNothingToWatch && !StackPools.has(.warm) else {
      sched.pointee.lock.unlock(m)
      return
    }
    sched.pointee.sysmon.isWaiting.store(true, ordering: .relaxed)
    sched.pointee.lock.unlock(m)
    let end = min(end(), Clock.nanotime() &+ longestWait, Shelver.nextPass)
    while sched.pointee.sysmon.isWaiting.load(ordering: .acquiring) {
      let left = end &- Clock.nanotime()
      if left <= 0 || sched.pointee.head.arrivals.load(ordering: .relaxed) != nil { break }
      Futex.wait(address, while: 0, nanoseconds: left)
      sched.pointee.head.sysmonWake.store(0, ordering: .sequentiallyConsistent)
      ReportRequest.serve()
    }
    sched.pointee.lock.lock(m)
    sched.pointee.sysmon.isWaiting.store(false, ordering: .relaxed)
    sched.pointee.lock.unlock(m)
  }

  /// Nor is there anything before `main` is on its way: if it was stopped, it could go on in another thread.
  private static var hasNothingToWatch: Bool {
    !sched.pointee.mainStarted.load(ordering: .relaxed)
      || sched.pointee.idlePCount.load(ordering: .relaxed) == sched.pointee.maxProcs.load(ordering: .relaxed)
      || StopTheWorld.isStopping
  }

  /// From here on a spawned goroutine may start threads, and sysmon watches.
  static func mainStarts() {
    let m = currentM()
    sched.pointee.lock.lock(m)
    sched.pointee.mainStarted.store(true, ordering: .relaxed)
    wakeIfWaiting()
    sched.pointee.lock.unlock(m)
  }

  /// Something may have to be done before the end of a rest.
  @inline(never)
  static func poke() {
    if sched.pointee.sysmon.isResting.exchange(false, ordering: .sequentiallyConsistent) { wake() }
  }

  /// A timer for `when` was armed and every P has a goroutine.
  static func expect(_ when: Int64) {
    if sched.pointee.sysmon.sleepsUntil.load(ordering: .sequentiallyConsistent) > when { wake() }
  }

  /// A P leaves the idle list, or the world starts. Under `Sched.lock`, or where nobody else may do so.
  @inline(__always)
  static func wakeIfWaiting() {
    if sched.pointee.sysmon.isWaiting.load(ordering: .relaxed) { stopWaiting() }
  }

  @inline(never)
  private static func stopWaiting() {
    sched.pointee.sysmon.isWaiting.store(false, ordering: .releasing)
    wake()
  }

  private static func wake() {
    if sched.pointee.head.sysmonWake.exchange(1, ordering: .sequentiallyConsistent) == 0 { Futex.wake(address) }
  }

  private static var address: UnsafeMutablePointer<UInt32> { Futex.address(of: sched.pointee.head.sysmonWake) }

  /// How it is found out that a thread sleeps without having said so.
  private static func chooseSource() {
    let isPossible = sched.pointee.threadStateSource.load(ordering: .relaxed) != ThreadState.Source.none.rawValue
    let source = isPossible ? ThreadState.probe(sched.pointee.templateM.unsafelyUnwrapped) : .none
    sched.pointee.threadStateSource.store(source.rawValue, ordering: .relaxed)
  }
}
