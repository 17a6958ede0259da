import ApusRuntime

public import struct Synchronization.Atomic

/// The lock in `RWMutex` (Go's `sync.RWMutex`).
///
/// `readers` counts those who read or want to; a writer takes `writerPending` off it, which makes it negative: readers who
/// come later see that and wait. The writer waits until those who were there before it have left: `leaving` counts them.
/// A reader that leaves can bring it to a value below zero before the writer has added their number to it; whoever
/// brings it to zero, the last reader or the writer itself, knows that all have left.
@usableFromInline
struct RWMutexWord: ~Copyable, Sendable {
  /// Among writers. Held from before a writer announces itself until after it let the readers in.
  @usableFromInline let writers = MutexWord()
  @usableFromInline let readers = Atomic<Int32>(0)
  private let leaving = Atomic<Int32>(0)
  private let writerTurn = SemaphoreRoot(0)
  private let readerTurn = SemaphoreRoot(0)

  /// More than there can be readers.
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
    writers.lock()
    let present = readers.wrappingSubtract(Self.writerPending, ordering: .acquiringAndReleasing).oldValue
    if present != 0 { waitForReaders(present) }
  }

  @inlinable
  @inline(__always)
  func unlockForWriting() {
    let waiting = readers.wrappingAdd(Self.writerPending, ordering: .releasing).newValue
    // Those who came meanwhile read before the next writer does anything.
    if waiting != 0 { admitReaders(waiting) }
    writers.unlock()
  }

  /// Takes the lock for writing unless anybody has it or waits for it.
  @inlinable
  @inline(__always)
  func tryLockForWriting() -> Bool {
    guard writers.tryLock() else { return false }
    let result = readers.compareExchange(
      expected: 0, desired: 0 &- Self.writerPending, successOrdering: .acquiring, failureOrdering: .relaxed)
    if !result.exchanged { writers.unlock() }
    return result.exchanged
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

  @usableFromInline
  @inline(never)
  func waitForReaders(_ present: Int32) {
    if leaving.wrappingAdd(present, ordering: .acquiringAndReleasing).newValue != 0 {
      writerTurn.acquire(1, .rwMutexLock)
    }
  }

  @usableFromInline
  @inline(never)
  func admitReaders(_ waiting: Int32) {
    readerTurn.release(Int(waiting))
  }
}
