import CApus
import Synchronization

/// The network poller (Go's `netpoll`): descriptors with goroutines that wait for them, on one epoll descriptor, which is
/// made when the first of them is opened.
///
/// Who polls: a thread that has run out of work of its own, before it steals (`check`); every 61st search while others
/// keep it busy, if nobody has polled for a millisecond (`checkIfStale`); the monitor, when nobody else does
/// (`pollIfStale`); and, blocking, the one idle thread that waits for the clock too (IdleWait.swift). Only that one
/// waits, so an event wakes one thread.
///
/// ## Somebody polls while somebody waits
///
/// A goroutine that parks counts as a waiter before it is parked (`countWaiters`). Its thread goes on to look for work;
/// when it finds none it sees the count, and polls, or finds that somebody does. A goroutine that keeps its thread hands
/// its P off, and `Processors.handOff` has an idle P looked after. A thread that is not the runtime's tells one that is
/// (`askForPoller`). A thread that sees a P busy leaves polling to that P's thread, and to the monitor.
///
/// The count is spread over the Ps, so that parking writes to no shared line. A sum of it may be old. Too low, it misses
/// a waiter whose thread looks itself, later. Too high, a thread polls for nobody: the next thread that goes idle and sees
/// nobody wait interrupts it (`IdleWait.waitOrStop`), so that the deadlock detector finds all of them idle at the end.
public struct Netpoll: ~Copyable {
  /// nil until the first descriptor is opened. Written once, under `poolLock`; `isInitialised` is stored after it.
  private var events: EventPoll?
  private let initialised = Atomic<Bool>(false)
  /// Open descriptors.
  private let openCount = Atomic<Int>(0)
  /// Waiters counted by threads without a P; those of the others are in `P.ioWaiters`.
  private let waiters = Atomic<Int64>(0)
  /// When somebody last looked, in nanoseconds.
  let polledAt = Atomic<Int64>(0)
  /// Somebody looks without waiting: a second one at the same time would find the same events, or wait for its lock.
  private let isLooking = Atomic<Bool>(false)

  /// Protects the free records, and the first use.
  private let poolLock = RuntimeLock(.pollPool)
  private var free: PollDescriptorRef?
  private var arena = PersistentArena()

  init() {}

  /// For how long a busy program may leave the poller alone, in nanoseconds.
  private static var stale: Int64 { 1_000_000 }

  /// Whether there is anything to poll.
  static var isInitialised: Bool { sched.pointee.netpoll.initialised.load(ordering: .sequentiallyConsistent) }

  // MARK: Descriptors

  /// A record for `descriptor`, whose events are known from here on. A negative errno where the kernel refuses: -EPERM for
  /// what cannot be polled.
  public static func open(_ descriptor: Int32) -> (PollDescriptorRef?, Int32) {
    // The record holds the standard library's instants, so its layout is found out at run time, at the first use, which
    // allocates: not under a lock.
    let size = MemoryLayout<PollDescriptor>.size
    let m = acquireM()
    defer { releaseM(m) }
    sched.pointee.netpoll.poolLock.lock(m)
    let error = isInitialised ? 0 : initialise()
    if error < 0 {
      sched.pointee.netpoll.poolLock.unlock(m)
      return (nil, error)
    }
    let record = takeRecord(size)
    sched.pointee.netpoll.poolLock.unlock(m)
    record.reopen(for: descriptor, on: m)
    let tag = tag(of: record)
    sched.pointee.netpoll.openCount.wrappingAdd(1, ordering: .relaxed)
    let added = sched.pointee.netpoll.events.unsafelyUnwrapped.add(descriptor, tag: tag)
    if added < 0 {
      giveBack(record, on: m)
      return (nil, added)
    }
    return (record, 0)
  }

  /// The descriptor's events are of no interest any more, and its record is used again. Nobody waits: `beginClosing` came
  /// before. The descriptor is still open.
  public static func close(_ record: PollDescriptorRef) {
    let m = acquireM()
    assert(record.pointee.info.load(ordering: .relaxed) & PollDescriptor.Info.closing != 0, "closed but not closing")
    sched.pointee.netpoll.events.unsafelyUnwrapped.delete(record.pointee.descriptor)
    giveBack(record, on: m)
    releaseM(m)
  }

  /// Under `poolLock`. 0 or a negative errno.
  private static func initialise() -> Int32 {
    let (events, error) = EventPoll.make()
    guard let events else { return error }
    sched.pointee.netpoll.events = events
    sched.pointee.netpoll.initialised.store(true, ordering: .sequentiallyConsistent)
    // Whoever waits for the clock is to wait in the poller from now on.
    sched.pointee.idleWait.moveToPoller()
    return 0
  }

  /// Under `poolLock`.
  private static func takeRecord(_ size: Int) -> PollDescriptorRef {
    if let record = sched.pointee.netpoll.free {
      sched.pointee.netpoll.free = record.pointee.link
      record.pointee.link = nil
      return record
    }
    let memory = sched.pointee.netpoll.arena.allocate(bytes: size)
    let record = memory.bindMemory(to: PollDescriptor.self, capacity: 1)
    record.initialize(to: PollDescriptor(record))
    return record
  }

  private static func giveBack(_ record: PollDescriptorRef, on m: MRef) {
    record.retire(on: m)
    sched.pointee.netpoll.openCount.wrappingSubtract(1, ordering: .relaxed)
    sched.pointee.netpoll.poolLock.lock(m)
    record.pointee.link = sched.pointee.netpoll.free
    sched.pointee.netpoll.free = record
    sched.pointee.netpoll.poolLock.unlock(m)
  }

  // MARK: Waiters

  /// Goroutines that wait for a descriptor became more, or fewer. In a section.
  @inline(__always)
  static func countWaiters(_ change: Int, on m: MRef) {
    if let p = m.pointee.p {
      let before = p.pointee.ioWaiters.load(ordering: .relaxed)
      p.pointee.ioWaiters.store(before &+ Int64(change), ordering: .relaxed)
    } else {
      sched.pointee.netpoll.waiters.wrappingAdd(Int64(change), ordering: .sequentiallyConsistent)
    }
  }

  /// Whether anybody waits for a descriptor: exact when the other threads are idle.
  static var hasWaiters: Bool {
    if !isInitialised { return false }
    var sum = sched.pointee.netpoll.waiters.load(ordering: .sequentiallyConsistent)
    for index in 0..<Int(sched.pointee.processorsMade.load(ordering: .acquiring)) {
      guard let p = sched.pointee.allP[index] else { break }
      sum &+= p.pointee.ioWaiters.load(ordering: .relaxed)
    }
    return sum != 0
  }

  /// The thread of `m` is not the runtime's and is about to wait for a descriptor: when it has released its locks it makes
  /// sure that somebody polls, as if it had armed a timer that never fires (`Timers.announce`).
  static func askForPoller(_ m: MRef) {
    if m.pointee.unannounced == 0 { m.pointee.unannounced = TimerHeap.latest }
  }

  // MARK: Polling

  /// What one look at the kernel's events finds.
  private struct Harvest {
    let m: MRef
    var queue = GQueue()
    var woken = 0
    var wasInterrupted = false
  }

  /// One of the events that the kernel gave out.
  private static func take(_ context: UnsafeMutableRawPointer?, _ events: UInt32, _ tag: UInt64) {
    let harvest = context.unsafelyUnwrapped.assumingMemoryBound(to: Harvest.self)
    if tag == EventPoll.breakerTag {
      harvest.pointee.wasInterrupted = true
    } else {
      let record = record(of: tag)
      let m = harvest.pointee.m
      harvest.pointee.woken += record.note(events, tag & sequenceMask, into: &harvest.pointee.queue, on: m)
    }
  }

  /// Takes events from the kernel: waits for `delay` nanoseconds for the first (0: does not wait; below zero: no limit).
  /// The goroutines that they wake are the caller's to make ready, and still wait by their status. In a section.
  static func poll(_ delay: Int64, on m: MRef) -> GQueue {
    let (queue, woken) = harvest(delay, on: m)
    // This thread runs, so nobody takes the goroutines in its hand for dead.
    if woken > 0 { countWaiters(-woken, on: m) }
    return queue
  }

  /// The same, but those that were woken still count as waiters.
  private static func harvest(_ delay: Int64, on m: MRef) -> (queue: GQueue, woken: Int) {
    var harvest = Harvest(m: m)
    let poller = sched.pointee.netpoll.events.unsafelyUnwrapped
    withUnsafeMutablePointer(to: &harvest) { poller.wait(delay, $0) { Netpoll.take($0, $1, $2) } }
    // An interruption is meant for the thread that waits: one that only looks leaves it there.
    if harvest.wasInterrupted && delay != 0 { poller.clearInterruption() }
    if delay == 0 || harvest.woken > 0 {
      sched.pointee.netpoll.polledAt.store(Clock.nanotime(), ordering: .relaxed)
    }
    return (harvest.queue, harvest.woken)
  }

  /// Looks, without waiting, and makes ready what there is, in the queue of the P that `m` has; true when there was
  /// anything. Not when somebody waits: events are that thread's then.
  @inline(__always)
  static func check(on m: MRef) -> Bool {
    isInUse && look(on: m)
  }

  /// The same, if nobody has for a millisecond: for those who always find other work first.
  package static func checkIfStale(on m: MRef) {
    if isInUse && isStale(Clock.nanotime()) { _ = look(on: m) }
  }

  /// Whether a scheduler that always finds work should look here now and then.
  @inline(__always)
  static var isInUse: Bool { sched.pointee.netpoll.openCount.load(ordering: .relaxed) != 0 }

  @inline(never)
  private static func look(on m: MRef) -> Bool {
    if sched.pointee.idleWait.lastPoll.load(ordering: .sequentiallyConsistent) == 0 { return false }
    if sched.pointee.netpoll.isLooking.exchange(true, ordering: .acquiring) { return false }
    var queue = poll(0, on: m)
    sched.pointee.netpoll.isLooking.store(false, ordering: .releasing)
    if queue.count == 0 { return false }
    Park.ready(&queue, on: m)
    return true
  }

  /// For the monitor: makes ready what events have woken, if nobody has polled for `limit` nanoseconds and nobody waits.
  /// How many that were. In a section.
  ///
  /// The monitor's thread counts as idle for the deadlock detector. So they count as waiters until they are in a queue;
  /// and a thread that waits in the poller for a count that was too high meanwhile is told when it is lowered.
  @discardableResult
  package static func pollIfStale(_ now: Int64, _ limit: Int64, on m: MRef) -> Int {
    if sched.pointee.idleWait.lastPoll.load(ordering: .sequentiallyConsistent) == 0 { return 0 }
    if !isStale(now, limit) || sched.pointee.netpoll.isLooking.exchange(true, ordering: .acquiring) { return 0 }
    var (queue, woken) = harvest(0, on: m)
    sched.pointee.netpoll.isLooking.store(false, ordering: .releasing)
    if woken == 0 { return 0 }
    Park.inject(&queue)
    countWaiters(-woken, on: m)
    IdleWait.endIfInVain()
    return woken
  }

  /// Whether there are descriptors, and nobody has polled for `limit` nanoseconds.
  static func isStale(_ now: Int64, _ limit: Int64 = stale) -> Bool {
    isInUse && now &- sched.pointee.netpoll.polledAt.load(ordering: .relaxed) > limit
  }

  /// Wakes the thread that waits in `poll`, or has the next one return at once (Go's `netpollBreak`).
  static func interrupt() {
    sched.pointee.netpoll.events.unsafelyUnwrapped.interrupt()
  }

  // MARK: Tags

  /// What an event says of its record: the address, which is a multiple of 64 and has 47 bits (48 on aarch64), and the
  /// record's sequence number, as far as there is room.
  private static func tag(of record: PollDescriptorRef) -> UInt64 {
    UInt64(UInt(bitPattern: record)) << 16 | record.pointee.sequence & sequenceMask
  }

  private static func record(of tag: UInt64) -> PollDescriptorRef {
    PollDescriptorRef(bitPattern: UInt((tag & ~sequenceMask) >> 16)).unsafelyUnwrapped
  }

  /// 22 bits: a record would have to be used four million times between the kernel's event and its reader.
  static var sequenceMask: UInt64 { 1 << 22 - 1 }
}

extension UnsafeMutablePointer where Pointee == PollDescriptor {
  /// The record stands for `descriptor` from now on.
  fileprivate func reopen(for descriptor: Int32, on m: MRef) {
    pointee.lock.lock(m)
    pointee.descriptor = descriptor
    pointee.info.store(0, ordering: .relaxed)
    pointee.reader.store(PollDescriptor.none, ordering: .relaxed)
    pointee.writer.store(PollDescriptor.none, ordering: .relaxed)
    pointee.isDrained = false
    pointee.readInstant = nil
    pointee.writeInstant = nil
    pointee.lock.unlock(m)
  }

  /// The record stands for nothing: events that are still to come for it are stale.
  fileprivate func retire(on m: MRef) {
    pointee.lock.lock(m)
    assert(
      pointee.reader.load(ordering: .relaxed) <= PollDescriptor.ready
        && pointee.writer.load(ordering: .relaxed) <= PollDescriptor.ready,
      "a descriptor is closed on which somebody waits")
    pointee.sequence &+= 1
    pointee.descriptor = -1
    pointee.lock.unlock(m)
  }
}
