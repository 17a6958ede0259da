import CApus
import Synchronization

/// What the signal handler knows of the scheduler: `apus_sched_head`, where each is explained.
public struct SchedHead: ~Copyable {
  /// As many as `SpareThreads` has places.
  let spare0 = Atomic<MRef?>(nil)
  let spare1 = Atomic<MRef?>(nil)
  let spare2 = Atomic<MRef?>(nil)
  let spare3 = Atomic<MRef?>(nil)
  /// Put there and taken back by sysmon, under `Sched.lock`; taken by a handler.
  let successor = Atomic<MRef?>(nil)
  let arrivals = Atomic<MRef?>(nil)
  /// Written under `Sched.lock`, and by a handler that takes a spare.
  let idleMCount = Atomic<Int32>(0)
  /// Written under `Sched.lock`; by a fatal report without it.
  let stopping = Atomic<UInt32>(0)
  let stopWait = Atomic<Int32>(0)
  let stopWake = Atomic<UInt32>(0)
  let sysmonWake = Atomic<UInt32>(0)
  /// Written once, by boot.
  let asyncPreemptOff = Atomic<UInt32>(0)
  let preemptions = Atomic<UInt64>(0)
  /// Written under `Sched.lock`, before `stopping`.
  let stopSpin = Atomic<Int64>(0)
  /// Written under `Sched.lock` (`Placement`).
  let placesWakes = Atomic<UInt32>(0)
  /// Counted by whoever wakes.
  let placedWakes = Atomic<UInt32>(0)
}

/// The state that all threads share (Go's `schedt`). One per process; `sched` points to it.
public struct Sched: ~Copyable {
  /// First, at offset 0.
  let head = SchedHead()

  /// Protects what is under "under lock", and the P's owner and link while nobody holds the P.
  let lock = RuntimeLock(.sched)

  // Under lock; the counts are atomic so that they may be read without it.
  var idleM: MRef?
  /// When an idle M was wanted last and there was none.
  var lastShortage: Int64 = 0
  /// Affinities can be read and set.
  var canPlaceWakes = false
  var idleP: PRef?
  let idlePCount = Atomic<Int32>(0)
  var global = ChunkedQueue()
  let globalCount = Atomic<Int>(0)
  /// Ps for which a thread is being created (TemplateThread.swift), and how many threads are.
  var starting = PQueue()
  /// When the first of them came there; `Int64.max` while there is none. Read without the lock, too.
  let startingSince = Atomic<Int64>(Int64.max)
  var wantedThreads = 0
  /// Threads that were created and are not there yet.
  var arrivingThreads = 0
  /// Threads with a goroutine and no P (StoppedThreads.swift).
  var returning = StoppedThreads.Queue()
  var preempted = StoppedThreads.Queue()
  /// Goroutines that have to wait before they begin (UnstartedQueue.swift).
  var unstarted = GQueue()
  let unstartedCount = Atomic<Int>(0)
  /// One of them is to begin before others: set by sysmon. When the last one did.
  let unstartedIsDue = Atomic<Bool>(false)
  let lastUnstarted = Atomic<Int64>(0)
  /// Threads of the runtime that live, m0 among them.
  var threadCount: Int64 = 0
  var nextMID: Int64 = 0
  /// Records that were made for threads without a number: sysmon's, the template thread's, foreign ones.
  let unnumbered = Atomic<UInt64>(0)
  var maxThreads: Int64 = 10_000

  /// Threads that look for work: at most half of the busy Ps. How it is raised and lowered is argued in Spinning.swift.
  let spinning = Atomic<Int32>(0)

  /// Work was found and no idle P for it (Spinning.swift). Set under lock.
  let needSpinning = Atomic<Bool>(false)

  /// The preempted have waited for so long that one of them comes before everything else: set by sysmon.
  let hogsAreDue = Atomic<Bool>(false)
  /// When one of them was last given a P.
  let lastHogResumed = Atomic<Int64>(0)

  /// Who waits for the clock and the poller.
  let idleWait = IdleWait()
  /// Descriptors, and who waits for them.
  var netpoll = Netpoll()
  let slices = Slices()
  /// Who watches the Ps.
  let sysmon = Sysmon()
  /// The template thread's record; written before sysmon starts.
  var templateM: MRef?
  /// The futex on which the template thread sleeps: 1 wakes it.
  let templateWake = Atomic<UInt32>(0)
  /// `ThreadState.Source`; written by boot and by tests.
  let threadStateSource = Atomic<UInt8>(0)
  /// Whether the kernel makes barriers in other threads (`ThreadBarrier`).
  let hasThreadBarrier = Atomic<Bool>(false)

  // Stopping the world.
  /// The one goroutine that may stop the world (Go's `worldsema`).
  let world: SemaphoreRoot
  /// What `maxProcs` becomes when the world starts again. Under `world`.
  var nextMaxProcs = 1
  /// The longest time from asking to standing still, in nanoseconds. Written under `world`.
  let worstStop = Atomic<Int64>(0)
  /// When the world was asked to stand still the last time. By who has `world`.
  var stopAsked: Int64 = 0

  /// Ps in use; written while the world stands still, read anywhere.
  let maxProcs = Atomic<Int32>(0)
  /// How many entries of `allP` there are. Stored with release after them, read with acquire.
  let processorsMade = Atomic<Int32>(0)
  /// All Ps that ever were; `PRef` for ids up to `maxProcs` at the least. Entries are written once, under a stopped world.
  let allP: UnsafeMutablePointer<PRef?>
  /// The newest M; the others by `allLink`. Pushed by compare-exchange, never taken off.
  let allM = Atomic<MRef?>(nil)
  /// Records of threads that have ended, and the spin lock over them (`ThreadRecord`).
  var freeM: MRef?
  let freeMLock = Atomic<Bool>(false)

  /// The number of the next batch of goroutine ids.
  let nextID = Atomic<UInt64>(mainID + 1)
  /// Goroutine 1 is the program's `main`.
  static var mainID: UInt64 { 1 }
  /// False until `main` runs: goroutines spawned by boot wake no thread.
  let mainStarted = Atomic<Bool>(false)
  var goroutines: GoroutineRegistry
  var stackPools: StackPools

  /// What boot found; read-only afterwards.
  var facts: MachineFacts
  let knobs: Knobs
  let modules: ModuleData
  /// Passed on from boot to goroutine 1.
  var bootTrace = BootTrace()

  let handoffs = Atomic<UInt64>(0)
  /// Ps taken from threads that slept in the kernel without and with a word.
  let untoldBlocks = Atomic<UInt64>(0)
  let syscallRetakes = Atomic<UInt64>(0)

  var deadlock = DeadlockDetector()
  var trace = TraceSession()
  let attach = AttachSession()
  var waitScan = WaitScan.State()
  var shelver = Shelver()
  var profiler = CPUProfiler.State()

  /// The managed heap.
  var heap = Heap()

  // Statistics, behind what is read at every turn.
  /// How long the world took to stand still, and how long until it went on. Written under `world`.
  let pauses = StopTheWorld.Pauses()
  /// How long goroutines have waited for locks, in nanoseconds, by what the samples say (`WaitTiming`).
  let mutexWait = Atomic<Int64>(0)
  let blockProfile = ContentionProfile()
  let mutexProfile = ContentionProfile()

  /// The largest value of GOMAXPROCS.
  static var processorLimit: Int { Knobs.maximumProcessors }

  init(facts: MachineFacts, knobs: Knobs, modules: ModuleData, stackOrder: UInt8) {
    self.facts = facts
    self.knobs = knobs
    self.modules = modules
    self.world = SemaphoreRoot(1)
    self.goroutines = GoroutineRegistry()
    self.stackPools = StackPools(defaultOrder: stackOrder)
    self.allP = PersistentMemory.map(bytes: 8 * Self.processorLimit).bindMemory(
      to: PRef?.self, capacity: Self.processorLimit)
  }
}

/// What the machine is, found out once by boot.
package struct MachineFacts {
  package var cpuCount = 1
  package var pageSize = 4096
  package var signalStackSize = 65536
  /// Mixed into every seed.
  package var seed: UInt64 = 0
  /// The signal mask with which the process started.
  package var signalMask: UInt64 = 0
  package var startNanoseconds: Int64 = 0
}

/// The scheduler's state. Boot has made it before any code of the program runs, or the first use makes it.
@inlinable
@inline(__always)
public var sched: UnsafeMutablePointer<Sched> {
  UnsafeMutableRawPointer(apus_get_sched()).unsafelyUnwrapped.assumingMemoryBound(to: Sched.self)
}
