import CApus
import Synchronization

/// A thread's record. Records are never freed while the process lives, only reused, so an `MRef` may always be read.
public typealias MRef = UnsafeMutablePointer<M>

/// What remains to be done with the goroutine that was switched away from. Whatever publishes a goroutine (makes it
/// possible for another thread to run it) must come after its registers are saved, so it is left in the M and done by
/// whoever continues on that M, in `Switch.finish`.
enum AfterSwitch: UInt8 {
  case nothing
  /// Release the lock under which the goroutine parked.
  case unlock
  /// The same, and then see to `M.unannounced`.
  case unlockAndAnnounce
  /// Release the locks of all channels of the `select` in which the goroutine parked.
  case unlockAll
  /// Put the goroutine at the end of the local queue.
  case enqueueLocal
  /// Put the goroutine at the end of the global queue.
  case enqueueGlobal
  /// The goroutine has ended: reuse its record and its stack.
  case free
}

/// What others than the thread itself write of an M, as C knows it: `apus_m_words`, where each is explained.
public struct MWords: ~Copyable {
  @usableFromInline let claim = Atomic<UInt32>(0)
  let preempt = Atomic<UInt32>(0)
  private let wake = Atomic<UInt32>(0)
  let stopped = Atomic<UInt32>(0)

  /// `apus_m_words.wake`, for tests.
  var wakeWord: UInt32 { wake.load(ordering: .acquiring) }
  func setWakeWord(_ word: UInt32) { wake.store(word, ordering: .releasing) }

  fileprivate func reset() {
    wake.store(0, ordering: .relaxed)
    stopped.store(UInt32(APUS_NOT_STOPPED), ordering: .relaxed)
  }
}

public struct M: ~Copyable {
  /// The part that assembly and the signal handler know. First, at offset 0.
  public var head = apus_m_head()
  /// The part of it that others write. Directly behind.
  public let words = MWords()

  // The thread's own.
  /// Looks for work without having any; counted in `Sched.spinning`.
  var spinning = false
  /// A thread that the runtime did not make.
  public internal(set) var isForeign = false
  /// The thread is to end: the goroutine locked to it has, or it is one idle thread too many (`IdleThreads`).
  var exiting = false
  var after = AfterSwitch.nothing
  var afterG: GRef?
  /// The goroutine that was left for g0, if its stack is to be looked at (`StackNotes`).
  var left: GRef?
  var afterLock: UnsafeMutablePointer<RuntimeLock>?
  var afterFrame: UnsafeMutablePointer<SelectFrame>?
  /// A time before which nobody waits for the clock yet (`Timers.arm`); 0 for none. Whoever waits is told when the locks
  /// are released; when this thread goes idle it is told by the look at all timers that it takes then.
  var unannounced: Int64 = 0
  /// A goroutine already taken off its queue, for the scheduler loop to run first.
  var picked: GRef?
  var pickedInherits = false
  /// The address of the thread-local head of Swift's list of open accesses; nil: `Exclusivity` calls libswiftCore.
  var accessListHead: UnsafeMutablePointer<UInt>?
  /// The address of the thread-local word with Swift Concurrency's current task; nil: `isWithinTask` calls its library.
  var taskWord: UnsafePointer<UInt>?
  /// The address of the thread-local word that leads to the task-local values bound outside of tasks; nil: they stay as they
  /// are (`TaskLocals`).
  var taskLocalsWord: UnsafeMutablePointer<UInt>?
  /// The state of this M's random numbers.
  var random: UInt64 = 0
  /// `lockToThread`: the goroutine, and how often it has asked for it.
  var lockedG: GRef?
  var lockCount: Int32 = 0
  /// The idle list, or the queue of those that wait for a P (`StoppedThreads.Queue`): under `Sched.lock`.
  var idleLink: MRef?
  /// Until when the turn lasts of the goroutine that was stopped on this M, and resumed: stopped again before, it goes on
  /// before the other hogs. Under `Sched.lock`.
  var turnEnd: Int64 = 0
  /// On the idle list; under `Sched.lock`.
  var isListedIdle = false
  /// The next in its bucket of `ScannedThreads`. Whoever has stopped the world writes it.
  var scanLink: MRef?
  /// The free list of `ThreadRecord`.
  var freeLink: MRef?

  /// 0 for m0; -1 for a foreign thread. Written when the record is taken.
  package internal(set) var id: Int64 = 0
  /// All Ms, newest first; never taken off. Written before the M is published in `Sched.allM`.
  var allLink: MRef?
  /// A foreign thread sleeps here while its stand-in waits.
  let foreignNote = Note()

  /// The timer of a CPU profile; see `CPUProfiler` for who writes it.
  let profileTimer = Atomic<Int32>(CPUProfiler.noThread)

  #if DEBUG
    /// The ranks of the locks that this thread holds, in the order in which they were taken.
    var ranks: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0, 0, 0, 0)
    var rankCount = 0
  #endif

  init() {
    head.cpu_timer = -1
  }

  /// The record is another thread's from now on: nothing of the last one's state is left.
  mutating func forgetThread() {
    head.locks = 0
    head.pending = 0
    head.told = 0
    head.next_p = nil
    head.stopped_context = nil
    head.arrival_link = nil
    head.cpu_timer = -1
    head.is_narrow = 0
    head.restart_place = nil
    words.claim.store(Claim.value(.held), ordering: .relaxed)
    words.preempt.store(0, ordering: .relaxed)
    words.reset()
    after = .nothing
    exiting = false
    spinning = false
    unannounced = 0
  }

  /// The P it holds; nil while it is idle, has lost it (`MWords.claim`), or for a foreign thread's.
  @inlinable
  public internal(set) var p: PRef? {
    @inline(__always) get { head.p?.assumingMemoryBound(to: P.self) }
    @inline(__always) set { head.p = UnsafeMutableRawPointer(newValue) }
  }

  /// The next in `SchedHead.arrivals`, or in the list that was taken from there.
  var arrivalLink: MRef? {
    get { UnsafeMutableRawPointer(head.arrival_link)?.assumingMemoryBound(to: M.self) }
    set { head.arrival_link = UnsafeMutableRawPointer(newValue)?.assumingMemoryBound(to: apus_m_head.self) }
  }

  /// Handed over with a wake-up of an idle M: the P that it is to take.
  var nextP: PRef? {
    get { head.next_p?.assumingMemoryBound(to: P.self) }
    set { head.next_p = UnsafeMutableRawPointer(newValue) }
  }

  /// Random bits, quick and not secret: wyrand. The state is seeded from AT_RANDOM, or from `GODEBUG=seed=N`.
  mutating func nextRandom() -> UInt32 {
    random &+= 0xa076_1d64_78bd_642f
    let product = random.multipliedFullWidth(by: random ^ 0xe703_7ed1_a0b4_28db)
    return UInt32(truncatingIfNeeded: product.high ^ product.low)
  }
}

extension UnsafeMutablePointer where Pointee == M {
  /// The goroutine whose stack this thread is on.
  @inlinable
  @inline(__always)
  public var currentG: GRef {
    UnsafeMutableRawPointer(pointee.head.current).unsafelyUnwrapped.assumingMemoryBound(to: G.self)
  }

  /// The M's own goroutine, on which the scheduler runs.
  var g0: GRef {
    UnsafeMutableRawPointer(pointee.head.g0).unsafelyUnwrapped.assumingMemoryBound(to: G.self)
  }

  /// The head, as C takes it.
  @inlinable
  var cHead: UnsafeMutablePointer<apus_m_head> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: apus_m_head.self)
  }

  /// The head with the words behind it, as C takes it.
  @inlinable
  var cM: UnsafeMutablePointer<apus_m> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: apus_m.self)
  }

  /// Sleeps until `wakeUp`, once for each.
  func sleep() { apus_m_sleep(cM) }

  /// Sleeps until `wakeUp`, or for `nanoseconds`; true when it was woken.
  func sleep(nanoseconds: Int64) -> Bool { apus_m_sleep_for(cM, nanoseconds) }

  /// Wakes the thread, which sleeps or is about to. `leavesCPU`: the caller's thread sleeps next, and the woken one goes on
  /// on its CPU (`Placement`).
  func wakeUp(leavesCPU: Bool = false) {
    if leavesCPU { apus_m_wake_here(cM) } else { apus_m_wake(cM) }
  }

  /// Random bits for a choice that has to be uniform, not secret.
  public func randomBits() -> UInt32 { pointee.nextRandom() }

  @inline(__always)
  func setCurrent(_ g: GRef) {
    pointee.head.current = UnsafeMutableRawPointer(g).assumingMemoryBound(to: apus_g_head.self)
  }
}

/// The calling thread's M; nil on a thread that never used the runtime. Valid until the next switch.
@inlinable
@inline(__always)
public func currentMOrNil() -> MRef? {
  UnsafeMutableRawPointer(apus_current_m())?.assumingMemoryBound(to: M.self)
}

/// The calling thread's M. A thread that the runtime does not know becomes a foreign one first.
@inlinable
@inline(__always)
public func currentM() -> MRef {
  if let m = currentMOrNil() { return m }
  return ForeignThread.adopt()
}

#if DEBUG
  extension M {
    /// Asserts the order of `LockRank`.
    @usableFromInline
    mutating func noteAcquire(_ rank: LockRank, amongEquals: Bool) {
      withUnsafeMutableBytes(of: &ranks) { bytes in
        if rankCount > 0 && rankCount <= 8 {
          let last = bytes[rankCount - 1]
          precondition(
            last < rank.rawValue || (amongEquals && last == rank.rawValue),
            "a scheduler lock was taken against the order of LockRank")
        }
        if rankCount < 8 { bytes[rankCount] = rank.rawValue }
      }
      rankCount += 1
    }

    /// Locks are released in any order.
    @usableFromInline
    mutating func noteRelease(_ rank: LockRank) {
      precondition(rankCount > 0, "a lock was released on a thread that holds none")
      // More than eight are a wide `select`'s, all of one rank.
      if rankCount > 8 {
        rankCount -= 1
        return
      }
      withUnsafeMutableBytes(of: &ranks) { bytes in
        var index = min(rankCount, 8) - 1
        while index >= 0 && bytes[index] != rank.rawValue { index -= 1 }
        precondition(index >= 0, "a lock was released on a thread that does not hold it")
        while index + 1 < 8 {
          bytes[index] = bytes[index + 1]
          index += 1
        }
        bytes[7] = 0
      }
      rankCount -= 1
    }
  }
#endif
