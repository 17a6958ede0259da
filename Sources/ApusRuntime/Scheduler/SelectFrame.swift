import Synchronization

/// What a goroutine needs while it waits for one of several operations: a place in each queue, room for each element, and
/// the word by which exactly one partner claims it.
///
/// It lies outside the goroutine's stack, since partners write it. A goroutine takes one from its P for the time of a
/// `select` that has to wait, so that it allocates nothing; a `select` over more than eight channels has one of its own.
///
/// Who writes what: the goroutine everything, before it releases the channels' locks and after it was woken; a partner,
/// who holds the lock of one channel, wins `claimed` by compare-exchange and then writes `fired`, the waiter's `succeeded`
/// and its element. The wake-up (`ready`) orders that before the goroutine's reads.
///
/// When the frame is free again: a woken goroutine takes each of the locks once more, to leave the queues, but for the one
/// under which it was claimed. So whoever tried to claim it under another is past that, and so is the thread that released
/// the locks for it when it parked (`unlockAll`), which may still be at it: the claimer's lock it has released already.
public struct SelectFrame: ~Copyable {
  /// 0 until a partner, a closer or the timer has claimed the select.
  let claimed = Atomic<UInt32>(0)
  /// The place that was claimed.
  public internal(set) var fired: Int32 = -1
  /// How many places there are.
  public internal(set) var count = 0
  /// Held, as one of `locks`, where a timer is among what is waited for: whoever claims the goroutine takes a lock that is
  /// released only after its switch.
  var lock = RuntimeLock(.channel)
  /// The distinct locks of the channels in ascending order of address: the order in which they are taken.
  var locks: UnsafeMutablePointer<UnsafeMutablePointer<RuntimeLock>>
  var lockCount = 0
  /// `count` places, and room of `SlotSize.bytes` for the element of each.
  public let waiters: UnsafeMutablePointer<Waiter>
  public let slots: UnsafeMutableRawPointer
  /// The next in the free list that holds it.
  var link: UnsafeMutablePointer<SelectFrame>?

  /// The number of places of a frame from a P's list.
  @inlinable public static var standardCapacity: Int { 8 }

  /// The size of a frame in memory.
  static func size(capacity: Int) -> Int {
    let header = (MemoryLayout<SelectFrame>.size + 63) & ~63
    let places = MemoryLayout<Waiter>.stride + MemoryLayout<UnsafeMutableRawPointer>.stride
    return ((header + capacity * places + 63) & ~63) + capacity * SlotSize.bytes
  }

  /// Makes a frame in `memory`.
  static func make(_ memory: UnsafeMutableRawPointer, capacity: Int) -> UnsafeMutablePointer<SelectFrame> {
    let frame = memory.bindMemory(to: SelectFrame.self, capacity: 1)
    frame.initialize(to: SelectFrame(memory, capacity: capacity))
    return frame
  }

  private init(_ memory: UnsafeMutableRawPointer, capacity: Int) {
    let header = (MemoryLayout<SelectFrame>.size + 63) & ~63
    waiters = (memory + header).bindMemory(to: Waiter.self, capacity: capacity)
    let afterWaiters = header + capacity * MemoryLayout<Waiter>.stride
    locks = (memory + afterWaiters).bindMemory(to: UnsafeMutablePointer<RuntimeLock>.self, capacity: capacity)
    let afterLocks = (afterWaiters + capacity * MemoryLayout<UnsafeMutableRawPointer>.stride + 63) & ~63
    slots = memory + afterLocks
  }

  /// A partner's claim to the goroutine behind a waiter that it took off a queue; false when another was quicker. The
  /// caller holds the lock of the waiter's queue.
  @usableFromInline
  static func claim(_ waiter: UnsafeMutablePointer<Waiter>) -> Bool {
    claim(of(waiter), index: waiter.pointee.index)
  }

  /// The same for place `index`, for what is not in a queue: a timer.
  static func claim(_ frame: UnsafeMutablePointer<SelectFrame>, index: Int32) -> Bool {
    guard
      frame.pointee.claimed.compareExchange(
        expected: 0, desired: 1, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed
      ).exchanged
    else { return false }
    frame.pointee.fired = index
    return true
  }

  /// The timer of a place fires: claims the goroutine, which is parked as soon as the frame's lock is free.
  fileprivate static func fire(_ waiter: UnsafeMutablePointer<Waiter>) {
    let m = currentM()
    let frame = of(waiter)
    frame.pointee.lock.lock(m)
    let g = claim(waiter) ? waiter.pointee.g : nil
    Park.unlock(withUnsafeMutablePointer(to: &frame.pointee.lock) { $0 }, on: m, readying: g)
  }

  private static func of(_ waiter: UnsafeMutablePointer<Waiter>) -> UnsafeMutablePointer<SelectFrame> {
    let header = (MemoryLayout<SelectFrame>.size + 63) & ~63
    let first = waiter - Int(waiter.pointee.index)
    return (UnsafeMutableRawPointer(first) - header).assumingMemoryBound(to: SelectFrame.self)
  }
}

extension UnsafeMutablePointer where Pointee == SelectFrame {
  /// A frame for `count` operations of the goroutine `g`.
  public static func take(_ count: Int, for g: GRef) -> UnsafeMutablePointer<SelectFrame> {
    let frame: UnsafeMutablePointer<SelectFrame>
    if count > SelectFrame.standardCapacity {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: SelectFrame.size(capacity: count), alignment: 64)
      frame = SelectFrame.make(memory, capacity: count)
    } else {
      frame = takeStandard()
    }
    frame.pointee.claimed.store(0, ordering: .relaxed)
    frame.pointee.fired = -1
    frame.pointee.count = count
    frame.pointee.lockCount = 0
    for i in 0..<count {
      (frame.pointee.waiters + i).initialize(to: Waiter(g))
      frame.pointee.waiters[i].isInSelect = true
      frame.pointee.waiters[i].index = Int32(i)
    }
    return frame
  }

  /// A frame of `standardCapacity`, from the P's list.
  private static func takeStandard() -> UnsafeMutablePointer<SelectFrame> {
    let m = acquireM()
    defer { releaseM(m) }
    if let p = m.pointee.p {
      if p.pointee.selectFrames.count == 0 { GoroutineRegistry.refill(&p.pointee.selectFrames, on: m) }
      return p.pointee.selectFrames.pop().unsafelyUnwrapped
    }
    var list = SelectFrameList()
    GoroutineRegistry.refill(&list, on: m)
    let frame = list.pop().unsafelyUnwrapped
    GoroutineRegistry.takeBack(&list, on: m)
    return frame
  }

  /// Gives the frame back: none of its waiters is queued and nobody can claim it any more.
  public func giveBack() {
    if pointee.count > SelectFrame.standardCapacity {
      UnsafeMutableRawPointer(self).deallocate()
      return
    }
    let m = acquireM()
    defer { releaseM(m) }
    if let p = m.pointee.p {
      p.pointee.selectFrames.push(self)
      if p.pointee.selectFrames.count >= SelectFrameList.localLimit {
        GoroutineRegistry.takeBack(&p.pointee.selectFrames, keeping: SelectFrameList.localLimit / 2, on: m)
      }
    } else {
      var list = SelectFrameList()
      list.push(self)
      GoroutineRegistry.takeBack(&list, on: m)
    }
  }

  /// The room for the element of place `index`, aligned by 16.
  @inlinable
  @inline(__always)
  public func slot(_ index: Int) -> UnsafeMutableRawPointer {
    pointee.slots + index &* SlotSize.bytes
  }

  /// Notes that the lock at `lock` has to be held: kept in order, each once.
  public func add(_ lock: UnsafeMutablePointer<RuntimeLock>) {
    var i = pointee.lockCount
    while i > 0, UInt(bitPattern: pointee.locks[i - 1]) > UInt(bitPattern: lock) { i -= 1 }
    if i > 0, pointee.locks[i - 1] == lock { return }
    var j = pointee.lockCount
    while j > i {
      pointee.locks[j] = pointee.locks[j - 1]
      j -= 1
    }
    pointee.locks[i] = lock
    pointee.lockCount += 1
  }

  /// Puts a timer at place `index`, into its slot. When it fires it claims the goroutine. Armed between `lockAll` and
  /// the park, and removed before the frame is given back.
  public func addTimer(_ index: Int) -> TimerRecordRef {
    add(withUnsafeMutablePointer(to: &pointee.lock) { $0 })
    let record = timer(index)
    record.initialize(
      to: TimerRecord(UnsafeMutableRawPointer(pointee.waiters + index)) {
        SelectFrame.fire($0.assumingMemoryBound(to: Waiter.self))
      })
    return record
  }

  /// Takes the frame's own lock and gives it back: whoever had it is done with the frame.
  public func passLock(_ m: MRef) {
    pointee.lock.lock(m)
    pointee.lock.unlock(m)
  }

  /// The timer at place `index`.
  public func timer(_ index: Int) -> TimerRecordRef {
    slot(index).bindMemory(to: TimerRecord.self, capacity: 1)
  }

  /// Takes all the locks.
  public func lockAll(_ m: MRef) {
    for i in 0..<pointee.lockCount { pointee.locks[i].pointee.lock(m, amongEquals: i > 0) }
  }

  /// Releases all the locks, and makes `g`, which was taken off a queue under them, runnable: see `Park.unlock`.
  public func unlockAll(_ m: MRef, readying g: GRef?) {
    guard let g else {
      unlockAll(m)
      return
    }
    m.enter()
    unlockAll(m)
    Park.ready(g, on: m)
    m.leave()
  }

  /// Releases all the locks. Of the frame nothing is read after the last: a partner may claim it, and the goroutine give
  /// it back, at once.
  public func unlockAll(_ m: MRef) {
    let locks = pointee.locks
    var i = pointee.lockCount
    while i > 0 {
      i -= 1
      locks[i].pointee.unlock(m)
    }
  }
}

/// Free frames of `select` by their links, last in first out. A goroutine gives its frame to the P on which it resumed, so
/// frames wander between the Ps: a P keeps up to `localLimit` and exchanges half of them with the shared list.
struct SelectFrameList {
  static var localLimit: Int { 32 }

  private var first: UnsafeMutablePointer<SelectFrame>?
  private(set) var count = 0

  mutating func push(_ frame: UnsafeMutablePointer<SelectFrame>) {
    frame.pointee.link = first
    first = frame
    count += 1
  }

  mutating func pop() -> UnsafeMutablePointer<SelectFrame>? {
    guard let frame = first else { return nil }
    first = frame.pointee.link
    count -= 1
    return frame
  }
}
