import CApus
import Synchronization

/// The thread that creates all others (Go has one for the cases in which the creating thread is in a strange state; here
/// all are).
///
/// Creating a thread allocates. The lock of malloc may be held by a goroutine that is stopped, and who waits for it inside
/// the runtime keeps his P, which might be the one that the holder needs to go on. So only this thread waits: whoever wants
/// a thread for a P leaves the P in `Sched.starting` and goes on. Whatever needs a P, or finds itself idle, takes it from
/// there as from the idle list (`IdleLists.takeFreeP`), so a P is never stuck behind a thread that cannot be created yet.
///
/// When it is first idle it looks up what is expensive at first use (`Metadata`). From time to time it looks since when
/// goroutines wait (`WaitScan`), which is nobody's hurry. And it is the thread to which other processes send their requests
/// (`AttachSession`).
enum TemplateThread {
  /// Starts it, and by it sysmon. Once, by boot or the lazy start.
  static func start() {
    // What a signal asks for from now on waits for sysmon.
    apus_requests_are_served()
    let template = Threads.takeForScheduler(id: -1)
    let error = Thread.start({ TemplateThread.run($0) }, UnsafeMutableRawPointer(template))
    if error != 0 { FatalReport.cannotStartThread(have: 1, error: error) }
  }

  /// A thread for `p`, which nobody idle can take. The caller holds `Sched.lock` on `m`; it is released.
  static func request(_ p: PRef, spinning: Bool, holdingLockOf m: MRef) {
    p.pointee.startsSpinning = spinning
    p.pointee.link = nil
    if sched.pointee.starting.isEmpty { sched.pointee.startingSince.store(Clock.nanotime(), ordering: .relaxed) }
    sched.pointee.starting.append(p)
    count(m)
    sched.pointee.wantedThreads += 1
    sched.pointee.lock.unlock(m)
    wake()
  }

  /// A P that waits for its thread, for somebody who can take it at once. The caller holds `Sched.lock`.
  ///
  /// Where more threads are on their way then than are wanted, and one of them is not begun yet, it is called off: a thread
  /// that goes idle and takes back the P that it has just let go, again and again, would leave a crowd of others behind.
  static func takeP() -> PRef? {
    guard let p = sched.pointee.starting.removeFirst() else { return nil }
    if sched.pointee.starting.isEmpty { sched.pointee.startingSince.store(Int64.max, ordering: .relaxed) }
    if isOneTooMany(
      wanted: sched.pointee.wantedThreads, arriving: sched.pointee.arrivingThreads, for: sched.pointee.starting.count)
    {
      sched.pointee.wantedThreads -= 1
      sched.pointee.threadCount -= 1
    }
    return p
  }

  /// Whether of the threads that are `wanted`, not begun yet, one can be called off: with those that are `arriving` there
  /// are more than Ps that wait.
  static func isOneTooMany(wanted: Int, arriving: Int, for waiting: Int) -> Bool {
    wanted > 0 && wanted + arriving > waiting
  }

  /// One more idle thread, unless some are on their way or there are too many. The caller holds `Sched.lock` on `m`; it is
  /// released.
  static func requestSpare(holdingLockOf m: MRef) {
    if sched.pointee.wantedThreads + sched.pointee.arrivingThreads > 0
      || sched.pointee.threadCount >= sched.pointee.maxThreads
    {
      sched.pointee.lock.unlock(m)
      return
    }
    count(m)
    sched.pointee.wantedThreads += 1
    sched.pointee.lock.unlock(m)
    wake()
  }

  /// A thread counts from when it is asked for: until it is idle it may make somebody runnable.
  private static func count(_ m: MRef) {
    sched.pointee.threadCount += 1
    if sched.pointee.threadCount > sched.pointee.maxThreads {
      sched.pointee.lock.unlock(m)
      FatalReport.tooManyThreads(limit: Int(sched.pointee.maxThreads))
    }
  }

  /// A new thread, `m`, is there.
  static func countArrival(_ m: MRef) {
    sched.pointee.lock.lock(m)
    sched.pointee.arrivingThreads -= 1
    sched.pointee.lock.unlock(m)
  }

  /// Ends its sleep.
  static func wake() {
    if sched.pointee.templateWake.exchange(1, ordering: .sequentiallyConsistent) == 0 { Futex.wake(address) }
  }

  private static var address: UnsafeMutablePointer<UInt32> { Futex.address(of: sched.pointee.templateWake) }

  /// The body of the thread.
  private static func run(_ argument: UnsafeMutableRawPointer?) -> Never {
    let m = argument.unsafelyUnwrapped.assumingMemoryBound(to: M.self)
    Threads.makeCurrent(m)
    Thread.setName("apus-template")
    Thread.blockSignals()
    DeadlockDetector.countItself(m)
    sched.pointee.templateM = m
    Sysmon.start()
    AttachSession.arm()
    var hasPrepared = false
    while true {
      let wait = WaitScan.serve(m)
      if sched.pointee.templateWake.load(ordering: .sequentiallyConsistent) == 0 {
        if !hasPrepared {
          // Now that nobody wants a thread.
          Metadata.prepareForPrinting()
          Placement.prepare(m)
          hasPrepared = true
          continue
        }
        Futex.wait(address, while: 0, nanoseconds: wait)
      }
      if sched.pointee.templateWake.exchange(0, ordering: .sequentiallyConsistent) != 0 {
        createWanted(m)
        AttachSession.serveRequest()
      }
    }
  }

  private static func createWanted(_ m: MRef) {
    while true {
      sched.pointee.lock.lock(m)
      if sched.pointee.wantedThreads == 0 {
        sched.pointee.lock.unlock(m)
        return
      }
      let id = sched.pointee.nextMID
      sched.pointee.nextMID += 1
      sched.pointee.wantedThreads -= 1
      sched.pointee.arrivingThreads += 1
      sched.pointee.lock.unlock(m)
      let error = Threads.create(id: id)
      if error == 0 { continue }
      sched.pointee.lock.lock(m)
      let isNeeded = !sched.pointee.starting.isEmpty
      sched.pointee.threadCount -= 1
      sched.pointee.arrivingThreads -= 1
      if isNeeded {
        let count = Int(sched.pointee.threadCount)
        sched.pointee.lock.unlock(m)
        FatalReport.cannotStartThread(have: count, error: error)
      }
      // A spare is not worth the process: two stopped threads can change places. It counted as running until now: all
      // others may have gone idle meanwhile.
      DeadlockDetector.checkAndUnlock(m)
    }
  }
}

/// Ps by their links, first in first out. Under `Sched.lock`.
struct PQueue {
  private var first: PRef?
  private var last: PRef?
  private(set) var count = 0

  var isEmpty: Bool { first == nil }

  mutating func append(_ p: PRef) {
    p.pointee.link = nil
    if let last { last.pointee.link = p } else { first = p }
    last = p
    count += 1
  }

  mutating func removeFirst() -> PRef? {
    guard let p = first else { return nil }
    first = p.pointee.link
    if first == nil { last = nil }
    p.pointee.link = nil
    count -= 1
    return p
  }
}
