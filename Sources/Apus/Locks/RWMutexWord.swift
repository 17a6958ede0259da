import ApusRuntime

public import struct Synchronization.Atomic

/// The lock in `RWMutex` (after Go's `sync.RWMutex`).
///
/// `readers` counts those who read or want to; a writer takes `writerPending` off it, which makes it negative: readers who
/// come later see that and wait. The writer waits until those who were there before it have left: `leaving` counts them.
/// A reader that leaves can bring it to a value below zero before the writer has added their number to it; whoever
/// brings it to zero, the last reader or the writer itself, knows that all have left.
///
/// Unlike Go's, a writer that finds nobody at all has the lock by one compare-exchange of `readers`, without `writers`. It
/// *passes*. The others queue for `writers`, so at most one of them meets the one that passes; it announces itself in the same
/// way, which takes `writerPending` off a second time, and the one that passes sees it when it gives the lock back: then it
/// lets those readers in who were there, and they or, without any, itself hand the lock to the one that waits. Nobody passes
/// one that has announced itself. Before that, while it waits for `writers` or comes from there, others may, as a newcomer
/// takes a `Mutex` before one that was woken.
@usableFromInline
struct RWMutexWord: ~Copyable, Sendable {
  /// Among writers that do not pass. Held from before one announces itself until after it let the readers in.
  private let writers = MutexWord()
  @usableFromInline let readers = Atomic<Int32>(0)
  /// Whether the writer that has the lock has `writers`, too. Its own; it is false when the lock is given back.
  @usableFromInline let isQueued = Atomic<Bool>(false)
  private let leaving = Atomic<Int32>(0)
  private let writerTurn = SemaphoreRoot(0)
  private let readerTurn = SemaphoreRoot(0)

  /// More than there can be readers, and twice of it is in range.
  @inlinable @inline(__always)
  static var writerPending: Int32 { 1 << 30 }

  @usableFromInline
  init() {}

  @inlinable
  @inline(__always)
  func lockForReading() {
    if readers.wrappingAdd(1, ordering: .acquiring).newValue < 0 { waitForWriter() }
  }

  @inlinable
  @inline(__always)
  func unlockForReading() {
    // Adding: for this the compiler finds the instruction that leaves the sign in the flags.
    if readers.wrappingAdd(-1, ordering: .releasing).newValue < 0 { leave() }
  }

  /// Joins the readers unless a writer has the lock or waits for it.
  @inlinable
  @inline(__always)
  func tryLockForReading() -> Bool {
    var before = readers.load(ordering: .relaxed)
    while before >= 0 {
      let result = readers.compareExchange(
        expected: before, desired: before &+ 1, successOrdering: .acquiring, failureOrdering: .relaxed)
      if result.exchanged { return true }
      before = result.original
    }
    return false
  }

  @inlinable
  @inline(__always)
  func lockForWriting() {
    if !tryLockForWriting() { queueForWriting() }
  }

  @inlinable
  @inline(__always)
  func unlockForWriting() {
    if isQueued.load(ordering: .relaxed) { return unlockQueued() }
    let waiting = readers.wrappingAdd(Self.writerPending, ordering: .acquiringAndReleasing).newValue
    if waiting != 0 { admit(waiting) }
  }

  /// Takes the lock for writing unless anybody has it or has announced itself.
  @inlinable
  @inline(__always)
  func tryLockForWriting() -> Bool {
    readers.compareExchange(
      expected: 0, desired: 0 &- Self.writerPending, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  @usableFromInline
  @inline(never)
  func queueForWriting() {
    writers.lock()
    var round = 0
    // One that passes is soon gone, and waking would take longer.
    while readers.load(ordering: .relaxed) < 0 && ActiveSpin.isWorthwhile(round) {
      ActiveSpin.spin()
      round += 1
    }
    let present = readers.wrappingSubtract(Self.writerPending, ordering: .acquiringAndReleasing).oldValue
    // Below zero: one passes, who knows how many readers came after it.
    if present < 0 {
      writerTurn.acquire(1, .rwMutexLock)
    } else if present > 0 {
      waitForReaders(present)
    }
    isQueued.store(true, ordering: .relaxed)
  }

  @usableFromInline
  @inline(never)
  func unlockQueued() {
    isQueued.store(false, ordering: .relaxed)
    let waiting = readers.wrappingAdd(Self.writerPending, ordering: .acquiringAndReleasing).newValue
    assert(waiting >= 0, "a writer has announced itself while another had the queue's lock")
    // Those who came meanwhile read before the next of the queue does anything.
    if waiting != 0 { admit(waiting) }
    writers.unlock()
  }

  @usableFromInline
  @inline(never)
  func waitForWriter() {
    readerTurn.acquire(1, .rwMutexReadLock)
  }

  /// A reader leaves while a writer waits. Acquires and releases: the last one passes on what all did.
  @usableFromInline
  @inline(never)
  func leave() {
    if leaving.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { writerTurn.release() }
  }

  private func waitForReaders(_ present: Int32) {
    if leaving.wrappingAdd(present, ordering: .acquiringAndReleasing).newValue != 0 {
      writerTurn.acquire(1, .rwMutexLock)
    }
  }

  /// Lets those in who waited for the writer that gives the lock back. `readers` was `remaining` when it did.
  @usableFromInline
  @inline(never)
  func admit(_ remaining: Int32) {
    if remaining > 0 {
      readerTurn.release(Int(remaining))
      return
    }
    // A writer has announced itself. It waits for those readers, and doesn't know their number, so it is counted for it.
    let present = remaining &+ Self.writerPending
    if present == 0 {
      writerTurn.release()
      return
    }
    leaving.wrappingAdd(present, ordering: .acquiringAndReleasing)
    readerTurn.release(Int(present))
  }
}
