import CApus
import Synchronization

/// The address of a descriptor's record. Records are never freed, only reused: an event that the kernel still has for an
/// earlier descriptor may come at any time.
public typealias PollDescriptorRef = UnsafeMutablePointer<PollDescriptor>

/// What a goroutine waits for on a descriptor.
public enum PollMode: Sendable {
  case read
  case write
}

/// How a wait on a descriptor ends.
public enum PollOutcome: Sendable {
  /// It may be worth to try again.
  case ready
  /// The descriptor is being closed.
  case closing
  /// The deadline has passed.
  case timedOut
}

/// A descriptor as the poller knows it (Go's `pollDesc`): who waits to read and to write, and until when.
///
/// In each direction there is a *semaphore* of one word: nothing, a readiness that nobody has used yet, or the goroutine
/// that waits. The poller turns a waiter into a runnable goroutine, or leaves `ready` behind for the next that comes. Go
/// changes these words without a lock and needs a fourth state, for a goroutine that is about to park; here they change
/// under `lock`, which a goroutine that parks holds until its registers are saved, as in every other wait of the runtime.
/// It costs as many atomic instructions, and the descriptor's number, its deadlines and its reuse are under the same lock.
///
/// One goroutine at a time waits in each direction: `FDMutex` sees to it.
public struct PollDescriptor: ~Copyable {
  let lock = RuntimeLock(.pollDescriptor)
  /// Bits of what is the matter with the descriptor (`Info`). Written under `lock`, read by anybody.
  let info = Atomic<UInt32>(0)

  // Written under lock. `ready` is also taken out without it, by the goroutine that is alone in its direction (`forget`).
  let reader = Atomic<UInt>(PollDescriptor.none)
  let writer = Atomic<UInt>(PollDescriptor.none)

  /// The last read took all that there was, and nothing was heard of the descriptor since. Belongs to who reads.
  public var isDrained = false

  // Under lock.
  var descriptor: Int32 = -1
  /// Counts the descriptors that the record has stood for. An event says for which it is.
  var sequence: UInt64 = 0
  /// Nanoseconds of the clock; 0 for none, below zero when it has passed.
  var readDeadline: Int64 = 0
  var writeDeadline: Int64 = 0
  /// The same as they were given.
  var readInstant: ContinuousClock.Instant?
  var writeInstant: ContinuousClock.Instant?
  /// A goroutine that waits for a time, not for an event, unless the descriptor is closed or its read deadline passes.
  var pausing: UInt = PollDescriptor.none
  var pauseEnd: Int64 = 0

  var readTimer: TimerRecord
  var writeTimer: TimerRecord
  /// What the timers were last armed for; 0 once they have fired or are called off.
  var readAlarm: Int64 = 0
  var writeAlarm: Int64 = 0
  /// The next on the free list.
  var link: PollDescriptorRef?

  /// Nobody waits, nothing came.
  static var none: UInt { 0 }
  /// Something came while nobody waited. Any other value is the address of a waiting goroutine.
  static var ready: UInt { 1 }

  enum Info {
    static var closing: UInt32 { 1 }
    static var readExpired: UInt32 { 2 }
    static var writeExpired: UInt32 { 4 }
    /// The other side will send no more, the connection failed, or urgent data came: the end of data is not seen by a
    /// read that got less than it asked for.
    static var exceptional: UInt32 { 8 }
  }

  init(_ address: PollDescriptorRef) {
    readTimer = TimerRecord(address) { PollDescriptor.expire($0.assumingMemoryBound(to: PollDescriptor.self), .read) }
    writeTimer = TimerRecord(address) { PollDescriptor.expire($0.assumingMemoryBound(to: PollDescriptor.self), .write) }
  }

  @inline(__always)
  func setInfo(_ bit: UInt32, _ isSet: Bool) {
    let before = info.load(ordering: .relaxed)
    info.store(isSet ? before | bit : before & ~bit, ordering: .releasing)
  }
}

extension UnsafeMutablePointer where Pointee == PollDescriptor {
  var lock: UnsafeMutablePointer<RuntimeLock> { pointee.lock.pointer }

  @inline(__always)
  private func withSemaphore<R>(_ mode: PollMode, _ body: (borrowing Atomic<UInt>) -> R) -> R {
    switch mode {
    case .read: body(pointee.reader)
    case .write: body(pointee.writer)
    }
  }

  /// Why an operation must not go on, nil when it may (Go's `netpollcheckerr`). One load.
  @inline(__always)
  public func failure(_ mode: PollMode) -> PollOutcome? {
    let info = pointee.info.load(ordering: .acquiring)
    let expired = mode == .read ? PollDescriptor.Info.readExpired : PollDescriptor.Info.writeExpired
    if info & (PollDescriptor.Info.closing | expired) == 0 { return nil }
    return info & PollDescriptor.Info.closing != 0 ? .closing : .timedOut
  }

  /// Before an operation is tried: what came until now is seen by the try itself (Go's `pollReset`). The caller is alone
  /// in its direction.
  ///
  /// When the poller stores `ready` at the same moment, either this takes it, and what the event told of is there for the
  /// try, which comes after it; or it stays.
  @inline(__always)
  public func forget(_ mode: PollMode) {
    withSemaphore(mode) { semaphore in
      if semaphore.load(ordering: .relaxed) == PollDescriptor.ready {
        _ = semaphore.compareExchange(
          expected: PollDescriptor.ready, desired: PollDescriptor.none, ordering: .sequentiallyConsistent)
      }
    }
  }

  /// Whether a read now would find nothing: the last one got less than it asked for, of a connection on which the end of
  /// data can be told by that. The caller is alone in reading, and waits without a try when it is true.
  ///
  /// Anything that came since that read has caused an event, since the descriptor is edge-triggered: it has been stored
  /// in the semaphore, or will be. What came *before* it may share an event with data that was read: the end of the
  /// stream or an error does, and such an event is remembered (`Info.exceptional`). Urgent data ends a read early; the
  /// event in which it is told is remembered, too.
  @inline(__always)
  public var readsNothing: Bool {
    pointee.isDrained && pointee.info.load(ordering: .acquiring) & PollDescriptor.Info.exceptional == 0
  }

  /// Parks the current goroutine until the descriptor is ready, closed or late (Go's `pollWait`). The caller is alone in
  /// its direction and has tried before.
  public func wait(_ mode: PollMode) -> PollOutcome {
    while true {
      let m = currentM()
      pointee.lock.lock(m)
      if let failure = failure(mode) {
        pointee.lock.unlock(m)
        return failure
      }
      let before = withSemaphore(mode) { $0.load(ordering: .relaxed) }
      if before == PollDescriptor.ready {
        withSemaphore(mode) { $0.store(PollDescriptor.none, ordering: .relaxed) }
        pointee.lock.unlock(m)
        return .ready
      }
      if before != PollDescriptor.none { FatalReport.fatalError("runtime: double wait") }
      let g = m.currentG
      g.ownWaiter.pointee.succeeded = false
      withSemaphore(mode) { $0.store(UInt(bitPattern: g), ordering: .relaxed) }
      Netpoll.countWaiters(1, on: m)
      // The stand-in of a thread that is not the runtime's parks without passing the scheduler, which would poll: somebody
      // else has to be told to. Goroutines that keep their thread are seen to when their P is handed off.
      if m.pointee.isForeign { Netpoll.askForPoller(m) }
      Park.park(.ioWait, unlocking: lock)
      if g.ownWaiter.pointee.succeeded { return .ready }
      // Closed or late; or late when it was woken, and no longer so, as the deadline was moved since.
    }
  }

  /// An event came: makes `ready` known, and moves whoever waits to `queue` (Go's `netpollready`). How many waiters went.
  func note(_ events: UInt32, _ sequence: UInt64, into queue: inout GQueue, on m: MRef) -> Int {
    pointee.lock.lock(m)
    // Of an earlier descriptor: it was closed after the kernel had given the event out.
    guard pointee.sequence & Netpoll.sequenceMask == sequence else {
      pointee.lock.unlock(m)
      return 0
    }
    var reader: GRef?
    var writer: GRef?
    let ends = APUS_EPOLLRDHUP | APUS_EPOLLHUP | APUS_EPOLLERR | APUS_EPOLLPRI
    if events & ends != 0 { pointee.setInfo(PollDescriptor.Info.exceptional, true) }
    if events & (APUS_EPOLLIN | ends) != 0 { reader = makeReady(pointee.reader) }
    if events & (APUS_EPOLLOUT | APUS_EPOLLHUP | APUS_EPOLLERR) != 0 { writer = makeReady(pointee.writer) }
    pointee.lock.unlock(m)
    var count = 0
    if let reader {
      count += 1
      hand(reader, to: &queue, on: m)
    }
    if let writer {
      count += 1
      hand(writer, to: &queue, on: m)
    }
    return count
  }

  /// Under lock. Stored with release, whatever was there: whoever takes it out by `forget` sees what the event told of.
  @inline(__always)
  private func makeReady(_ semaphore: borrowing Atomic<UInt>) -> GRef? {
    let before = semaphore.load(ordering: .relaxed)
    if before <= PollDescriptor.ready {
      semaphore.store(PollDescriptor.ready, ordering: .releasing)
      return nil
    }
    semaphore.store(PollDescriptor.none, ordering: .relaxed)
    let g = GRef(bitPattern: before).unsafelyUnwrapped
    g.ownWaiter.pointee.succeeded = true
    return g
  }

  private func hand(_ g: GRef, to queue: inout GQueue, on m: MRef) {
    if g.pointee.kind == .foreign { Park.ready(g, on: m) } else { queue.append(g) }
  }

  /// Takes whoever waits, to be woken without success (Go's `netpollunblock`). Under lock.
  func evict(_ mode: PollMode) -> GRef? {
    withSemaphore(mode) { semaphore in
      let waiting = semaphore.load(ordering: .relaxed)
      if waiting <= PollDescriptor.ready { return nil }
      semaphore.store(PollDescriptor.none, ordering: .relaxed)
      return GRef(bitPattern: waiting)
    }
  }

  /// Wakes everybody who waits, and lets nobody wait any more (Go's `pollUnblock`). Once, before `Netpoll.close`.
  public func beginClosing() {
    let m = acquireM()
    pointee.lock.lock(m)
    assert(pointee.info.load(ordering: .relaxed) & PollDescriptor.Info.closing == 0, "a descriptor is closed twice")
    pointee.setInfo(PollDescriptor.Info.closing, true)
    let reader = evict(.read)
    let writer = evict(.write)
    let pausing = evictPausing()
    pointee.readDeadline = 0
    pointee.writeDeadline = 0
    rearm(m)
    pointee.lock.unlock(m)
    wake(reader, nil, on: m)
    wake(writer, pausing, on: m)
    releaseM(m)
  }

  /// Makes ready whom `evict` and `evictPausing` returned. The lock is free again.
  func wake(_ waiting: GRef?, _ pausing: GRef?, on m: MRef) {
    Timers.announce(m)
    if let pausing { Park.ready(pausing, on: m) }
    if let waiting {
      Park.ready(waiting, on: m)
      // Afterwards: as long as it counts, nobody takes it for dead.
      Netpoll.countWaiters(-1, on: m)
    }
  }
}
