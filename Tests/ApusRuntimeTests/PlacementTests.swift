@testable import ApusRuntime
import CApus
import CStress
import Glibc
import Synchronization
import Testing

/// On which CPU a thread goes on that was woken. In processes of their own: they change the number of processors, and the
/// affinities of their threads. (`stress_affinity` knows of 64 CPUs, and says 0 where there are others.)
@Suite(.enabled(if: stress_affinity(0).nonzeroBitCount >= 2))
struct PlacementTests {
  /// A thread that sleeps once as an M's does.
  private final class Sleeper: @unchecked Sendable {
    // Unchecked: the thread writes until the test has seen it asleep, and from the wake-up until it is joined.
    let m = FakeRecords.machine()
    private let home: Int
    private let affinity: UInt64
    private let timeout: Int64?
    private var thread = pthread_t()
    private let sleepsNext = Atomic<Bool>(false)
    private let wakerIsDone = Atomic<Bool>(false)
    /// Where it went on, whether it was woken, and with which affinity it was left.
    private(set) var cpu = -1
    private(set) var affinityAfterwards: UInt64 = 0
    private(set) var wasWoken = true

    /// It falls asleep on the CPU `home`, and may run on those in `affinity`.
    init(on home: Int, affinity: UInt64, timeout: Int64? = nil) {
      (self.home, self.affinity, self.timeout) = (home, affinity, timeout)
      let argument = Unmanaged.passUnretained(self).toOpaque()
      let error = pthread_create(&thread, nil, { Sleeper.run($0!) }, argument)
      precondition(error == 0)
    }

    private static func run(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
      let own = Unmanaged<Sleeper>.fromOpaque(argument).takeUnretainedValue()
      own.m.pointee.head.tid = Thread.id
      stress_affinity_set(0, 1 << UInt64(own.home))
      stress_affinity_set(0, own.affinity)
      own.sleepsNext.store(true, ordering: .releasing)
      if let timeout = own.timeout {
        own.wasWoken = own.m.sleep(nanoseconds: timeout)
      } else {
        own.m.sleep()
      }
      own.cpu = Int(stress_cpu())
      while !own.wakerIsDone.load(ordering: .acquiring) { usleep(100) }
      own.affinityAfterwards = stress_affinity(0)
      return nil
    }

    var word: UInt32 { m.pointee.words.wakeWord }

    /// Its time may be over by then.
    func waitUntilAboutToSleep() {
      while !sleepsNext.load(ordering: .acquiring) {}
    }

    private func waitUntilAsleep() {
      PlacementTests.wait {
        word == UInt32(APUS_ASLEEP) && apus_thread_state_by_syscall(m.pointee.head.tid) != APUS_THREAD_RUNS
      }
    }

    /// One that has slept, was woken by a thread that says that it sleeps next, and has ended.
    static func sleepAndBeWoken(on home: Int, affinity: UInt64) -> Sleeper {
      let sleeper = Sleeper(on: home, affinity: affinity)
      sleeper.waitUntilAsleep()
      sleeper.wakeHereAndJoin()
      return sleeper
    }

    /// Wakes it as one that sleeps next would, and waits until it has ended.
    func wakeHereAndJoin() {
      m.wakeUp(leavesCPU: true)
      wakerIsDone.store(true, ordering: .releasing)
      pthread_join(thread, nil)
    }
  }

  /// Until it is so; not for ever.
  private static func wait(until isTrue: () -> Bool) {
    let limit = Clock.nanotime() + 60_000_000_000
    while !isTrue() {
      precondition(Clock.nanotime() < limit)
      usleep(200)
    }
  }

  private static var placed: UInt32 { sched.pointee.head.placedWakes.load(ordering: .relaxed) }
  private static var places: Bool { sched.pointee.head.placesWakes.load(ordering: .relaxed) != 0 }
  private static var usual: UInt64 { stress_affinity(getpid()) }

  /// Two CPUs that the process may use.
  private static var twoCPUs: (Int, Int) {
    let first = usual.trailingZeroBitCount
    return (first, (usual & (usual - 1)).trailingZeroBitCount)
  }

  /// Two processors, and the template thread has prepared it; the calling thread stays on `cpu`, of the two.
  private static func prepare(stayingOn cpu: Int) {
    MaxProcs.set(2)
    wait { places }
    stress_affinity_set(Thread.id, 1 << UInt64(cpu))
  }

  @Test func whoWakesBeforeItSleepsIsFollowed() async {
    await #expect(processExitsWith: .success) {
      let (here, there) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      var followed = 0
      for _ in 0..<40 {
        let before = Self.placed
        let sleeper = Sleeper.sleepAndBeWoken(on: there, affinity: usual)
        precondition(Self.placed == before + 1)
        precondition(sleeper.affinityAfterwards == usual)
        precondition(sleeper.word == UInt32(APUS_AWAKE))
        if sleeper.cpu == here { followed += 1 }
      }
      // Once its affinity is as wide as before, the kernel may move it away.
      precondition(followed >= 30, "\(followed)")
    }
  }

  @Test func whoFellAsleepHereIsJustWoken() async {
    await #expect(processExitsWith: .success) {
      let (here, _) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      let before = Self.placed
      var sleptHere = 0
      for _ in 0..<10 {
        let sleeper = Sleeper.sleepAndBeWoken(on: here, affinity: usual)
        if sleeper.m.pointee.head.slept_on == here { sleptHere += 1 }
      }
      precondition(Self.placed == before + 10 - UInt32(sleptHere))
      precondition(sleptHere > 0)
    }
  }

  @Test func anAffinityOfItsOwnIsLeftToAThread() async {
    await #expect(processExitsWith: .success) {
      let (here, there) = Self.twoCPUs
      Self.prepare(stayingOn: here)
      let before = Self.placed
      let sleeper = Sleeper.sleepAndBeWoken(on: there, affinity: 1 << UInt64(there))
      precondition(Self.placed == before && sleeper.affinityAfterwards == 1 << UInt64(there) && sleeper.cpu == there)
    }
  }

  @Test func withOneProcessorOrTooManyNobodyIsPlaced() async {
    await #expect(processExitsWith: .success) {
      let (here, there) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      let before = Self.placed
      for procs in [1, MaxProcs.cpuCount + 1] {
        MaxProcs.set(procs)
        precondition(!Self.places)
        _ = Sleeper.sleepAndBeWoken(on: there, affinity: usual)
      }
      precondition(Self.placed == before)
      MaxProcs.set(MaxProcs.cpuCount)
      precondition(Self.places)
    }
  }

  @Test func aWakeUpBeforeTheSleepIsKept() async {
    await #expect(processExitsWith: .success) {
      Self.prepare(stayingOn: Self.twoCPUs.0)
      let before = Self.placed
      let m = FakeRecords.machine()
      m.wakeUp(leavesCPU: true)
      precondition(m.pointee.words.wakeWord == UInt32(APUS_WOKEN))
      m.sleep()
      precondition(m.pointee.words.wakeWord == UInt32(APUS_AWAKE))
      m.wakeUp()
      precondition(m.sleep(nanoseconds: .max / 2))
      precondition(!m.sleep(nanoseconds: 1_000_000))
      precondition(m.pointee.words.wakeWord == UInt32(APUS_AWAKE))
      precondition(Self.placed == before)
    }
  }

  /// Who wakes it once more must not hide from the thread that its affinity is narrow.
  @Test func aSecondWakeUpLeavesTheFirst() async {
    await #expect(processExitsWith: .success) {
      let usual = Self.usual
      Self.prepare(stayingOn: Self.twoCPUs.0)
      let m = FakeRecords.machine()
      m.pointee.head.tid = Thread.id
      for wake in [{ m.wakeUp() }, { m.wakeUp(leavesCPU: true) }] {
        m.pointee.words.setWakeWord(UInt32(APUS_WOKEN_HERE))
        wake()
        precondition(m.pointee.words.wakeWord == UInt32(APUS_WOKEN_HERE))
        m.sleep()
        precondition(stress_affinity(0) == usual)
        stress_affinity_set(Thread.id, 1 << UInt64(Self.twoCPUs.0))
      }
    }
  }

  /// Timed sleeps that end at about the time of the wake-up: whoever comes first, none is lost, and nobody stays narrow.
  @Test func whoseTimeIsOverIsWideAgain() async {
    await #expect(processExitsWith: .success) {
      let (here, there) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      var (woken, late) = (0, 0)
      for round in 0..<600 {
        let sleeper = Sleeper(on: there, affinity: usual, timeout: [1000, 300_000, 60_000_000_000][round % 3])
        sleeper.waitUntilAboutToSleep()
        usleep(UInt32(100 + round / 2))
        sleeper.wakeHereAndJoin()
        if sleeper.wasWoken { woken += 1 } else { late += 1 }
        precondition(sleeper.word == UInt32(sleeper.wasWoken ? APUS_AWAKE : APUS_WOKEN))
        precondition(sleeper.affinityAfterwards == usual)
      }
      precondition(woken > 0 && late > 0, "\(woken) and \(late)")
    }
  }
}

extension PlacementTests {
  /// More goroutines that compute than processors: those that are stopped, and those that take over from them. At the end
  /// every thread has the affinity that it began with.
  @Test func stoppedThreadsArePlaced() async {
    await #expect(processExitsWith: .success) {
      let usual = Self.usual
      MaxProcs.set(2)
      Self.wait { Self.places }
      let (ends, ended) = (Ends(), SemaphoreBox())
      for _ in 0..<5 {
        startGoroutine {
          while !ends.isSet {}
          ended.release()
        }
      }
      let limit = Clock.nanotime() + 60_000_000_000
      while Self.placed < 20 && Clock.nanotime() < limit { usleep(1000) }
      ends.set()
      for _ in 0..<5 { ended.acquire(.semaphore) }
      precondition(Self.placed >= 20)
      Self.wait {
        var areWide = true
        var threads = ThreadRecords()
        while let m = threads.next() {
          let affinity = stress_affinity(m.pointee.head.tid)
          // 0 for one that has ended.
          if affinity != usual && affinity != 0 { areWide = false }
        }
        return areWide
      }
    }
  }

  /// Two goroutines that compute keep both processors, and their threads are on `there`; a third one wakes up again and
  /// again, and its thread falls asleep on `here`. Only those who are stopped, or only those who take over from them, have the
  /// usual affinity.
  @Test(arguments: [true, false])
  func whoIsStoppedAndWhoTakesOverArePlaced(ofStopped: Bool) async {
    await #expect(processExitsWith: .success) { [ofStopped] in
      let (here, there) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      let (ends, ended) = (Ends(), SemaphoreBox())
      for _ in 0..<2 {
        startGoroutine {
          while !ends.isSet {
            stress_affinity_set(0, 1 << UInt64(there))
            if ofStopped { stress_affinity_set(0, usual) }
            let turn = Clock.nanotime() + 100_000
            while Clock.nanotime() < turn {}
          }
          ended.release()
        }
      }
      startGoroutine {
        let limit = Clock.nanotime() + 60_000_000_000
        while Self.placed < 20 && Clock.nanotime() < limit {
          stress_affinity_set(0, 1 << UInt64(here))
          if !ofStopped { stress_affinity_set(0, usual) }
          Timers.sleep(until: Clock.nanotime() + 1_000_000)
        }
        ends.set()
        ended.release()
      }
      for _ in 0..<3 { ended.acquire(.semaphore) }
      precondition(Self.placed >= 20, "\(Self.placed)")
    }
  }

  private final class Ends: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
  }

  /// Goroutines with threads of their own, one after the other. Each has its thread fall asleep on `home`, with the affinity
  /// `affinity`, and waits there once, if it `waits`; else it ends, and its thread with it. Another is ready then. All other threads run on `others`
  /// only, and may use `idle` while they sleep. Until so many threads were placed, or `limit`.
  private static func runLocked(
    home: Int, affinity: UInt64, others: Int, idle: UInt64, waits: Bool, until count: UInt32
  ) {
    let (turn, ended) = (SemaphoreBox(), SemaphoreBox())
    let limit = Clock.nanotime() + 60_000_000_000
    while placed < count && Clock.nanotime() < limit {
      setOthers(1 << UInt64(others))
      makeIdleThreads(4)
      startGoroutine {
        LockedThread.lockCurrent()
        stress_affinity_set(0, 1 << UInt64(home))
        stress_affinity_set(0, affinity)
        setOthers(idle)
        startGoroutine { (waits ? turn : ended).release() }
        if !waits { return }
        turn.acquire(.semaphore)
        LockedThread.unlockCurrent()
        stress_affinity_set(0, 1 << UInt64(others))
        ended.release()
      }
      ended.acquire(.semaphore)
    }
  }

  /// Goroutines with threads of their own at the same time: afterwards as many threads are idle, but for one or two that
  /// spin still.
  private static func makeIdleThreads(_ count: Int) {
    let (arrived, gate, ended) = (SemaphoreBox(), SemaphoreBox(), SemaphoreBox())
    for _ in 0..<count {
      startGoroutine {
        LockedThread.lockCurrent()
        arrived.release()
        gate.acquire(.semaphore)
        LockedThread.unlockCurrent()
        ended.release()
      }
    }
    for _ in 0..<count { arrived.acquire(.semaphore) }
    for _ in 0..<count { gate.release() }
    for _ in 0..<count { ended.acquire(.semaphore) }
  }

  /// The affinity of all threads that the runtime knows but the calling one.
  private static func setOthers(_ affinity: UInt64) {
    var threads = ThreadRecords()
    while let m = threads.next() {
      if m.pointee.head.tid != Thread.id { stress_affinity_set(m.pointee.head.tid, affinity) }
    }
  }

  @Test func whoseTurnItIsIsPlaced() async {
    await #expect(processExitsWith: .success) {
      let (here, there) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      // Only the locked thread has the usual affinity.
      Self.runLocked(home: there, affinity: usual, others: here, idle: 1 << UInt64(here), waits: true, until: 20)
      precondition(Self.placed >= 20, "\(Self.placed)")
    }
  }

  @Test(arguments: [true, false])
  func whoTakesOverFromALockedThreadIsPlaced(waits: Bool) async {
    await #expect(processExitsWith: .success) { [waits] in
      let (here, there) = Self.twoCPUs
      let usual = Self.usual
      Self.prepare(stayingOn: here)
      // The locked thread has never the usual affinity, the others have while they sleep.
      Self.runLocked(
        home: there, affinity: 1 << UInt64(there), others: here, idle: usual, waits: waits, until: 20)
      precondition(Self.placed >= 20, "\(Self.placed)")
    }
  }
}
