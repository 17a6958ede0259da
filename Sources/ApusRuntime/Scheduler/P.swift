import CApus
import Synchronization

/// A processor's record: the right to run goroutines, and what only its holder touches. Never freed.
public typealias PRef = UnsafeMutablePointer<P>

/// The states of a P, with Go's numbers.
public enum PStatus: UInt32 {
  /// On the idle list, or in the hands of a thread that moves it.
  case idle = 0
  /// Held by an M that runs goroutines or looks for some.
  case running
  /// Stopped for `StopTheWorld`, by whoever stops the world.
  case stopped = 3
  /// Beyond `maxProcs`.
  case dead = 4
}

public struct P: ~Copyable {
  // The head that the signal handler knows (`apus_p_head`). First, at offset 0.
  /// The M that holds it; written by that M, or under `Sched.lock` while nobody does.
  var m: MRef?
  /// Counts scheduling rounds: every 61st looks at the global queue first. A goroutine taken from `RunQueue.next` shares the
  /// slice of the one before it and does not count. sysmon reads it: while it stands still, one slice lasts.
  private let schedTickWord = Atomic<UInt32>(0)

  let id: Int32
  /// `apus_p_head.trace`.
  var traceWord: UInt64 = 0
  let statusWord = Atomic<UInt32>(PStatus.dead.rawValue)
  /// Not zero: leave the fast paths and go through the scheduler loop. The bits, and who sets them, are `Attention`'s.
  let attention = Atomic<UInt32>(0)
  /// The idle list, under `Sched.lock`; or the list that `Processors.resize` returns, which is its caller's.
  var link: PRef?

  // The holder's own.
  /// The last turn was a thread's that came back from the kernel, or a preempted one's that came before others: the next
  /// one is somebody else's, if anybody waits.
  var hasServedStopped = false
  /// A goroutine has begun on this P that had been put aside (`UnstartedQueue`): a preempted thread is next where both
  /// wait. Only the P's thread uses it.
  var hasBegunDeferred = false
  /// The tick of the last slice that a stopped thread began (`Processors.give`), when that was, and whether the thread had
  /// been stopped for running too long. Written before the tick is raised to it.
  let sliceTick = Atomic<UInt32>(0)
  let sliceStart = Atomic<Int64>(0)
  let sliceIsHogs = Atomic<Bool>(false)
  /// Counts regions that were said to block (`Syscall.enter`). sysmon reads it.
  let syscallTick = Atomic<UInt32>(0)
  /// How many goroutines in a row came from `RunQueue.next`.
  var inheritStreak: UInt32 = 0
  /// Goroutines switched to, for the statistics; read by others without order.
  let switches = Atomic<UInt64>(0)
  let steals = Atomic<UInt64>(0)
  /// Numbers for new goroutines, taken from `Sched.nextID` sixteen at a time.
  var nextID: UInt64 = 0
  var lastID: UInt64 = 0
  var freeG = GList()
  /// Free frames of `select`.
  var selectFrames = SelectFrameList()
  /// Goroutines spawned less goroutines ended on this P; the sum over all Ps is the number that live.
  let liveBalance = Atomic<Int64>(0)
  var stacks: StackCache
  /// `schedTick` when sysmon last found the P idle with stacks (`StackPools.releaseIdle`). Under `Sched.lock`.
  var stacksTick: UInt32 = 0
  /// Goroutines that began to wait for a descriptor on this P less those that were woken on it; the sum over all Ps is
  /// the number that wait (`Netpoll.hasWaiters`). Read by others without order.
  let ioWaiters = Atomic<Int64>(0)

  /// In `Sched.starting`: the thread is counted as one that looks for work. Under `Sched.lock`.
  var startsSpinning = false
  /// What sysmon saw at its last visit; its own.
  var watch = Retake.Watch()

  let queue: RunQueue
  /// Its own lock protects it: others look into it too.
  var timers = TimerHeap()
  /// Written by the holder inside sections, and by whoever has stopped the world.
  public var heap = HeapCache()
  /// How long goroutines were ready before they ran on this P (`Latency`). Here, as the lines above are in order.
  let latencies: TimeHistogram

  /// `room`: `TimeHistogram.size` zeroed bytes.
  init(id: Int32, stackOrder: UInt8, room: UnsafeMutableRawPointer) {
    self.id = id
    self.latencies = TimeHistogram(in: room)
    self.queue = RunQueue()
    self.stacks = StackCache(order: stackOrder)
  }

  var schedTick: UInt32 {
    @inline(__always) get { schedTickWord.load(ordering: .relaxed) }
    @inline(__always) nonmutating set { schedTickWord.store(newValue, ordering: .relaxed) }
  }

  var status: PStatus {
    get { PStatus(rawValue: statusWord.load(ordering: .relaxed)).unsafelyUnwrapped }
    nonmutating set { statusWord.store(newValue.rawValue, ordering: .relaxed) }
  }
}

extension UnsafeMutablePointer where Pointee == P {
  /// The head, as C takes it.
  var cHead: UnsafeMutablePointer<apus_p_head> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: apus_p_head.self)
  }
}

/// The bits of `P.attention`.
enum Attention {
  /// The world is to stand still: set by whoever stops it, under `Sched.lock`, cleared by whoever starts it.
  static var stop: UInt32 { 1 }
  /// Something runnable waits that is in no queue of goroutines: set by sysmon, cleared by the holder when it looks.
  static var look: UInt32 { 2 }
  /// Whoever leaves a goroutine in a `withHeap` notes what its stack refers to (`StackNotes`): set and cleared by whoever has
  /// stopped the world.
  static var note: UInt32 { 4 }
}
