import Synchronization

/// How long a descriptor lives, and who may read and write it (Go's `fdMutex`).
///
/// Every operation on a descriptor holds a reference; reading and writing are exclusive, each by itself. `close` lets no
/// new operation begin, and the descriptor's number is given back to the kernel by whoever drops the last reference: so
/// it never comes to stand for something else under an operation that is still going on.
///
/// One word: bit 0 closed, bit 1 being read, bit 2 being written, 20 bits of references, 20 of goroutines that wait to
/// read, 20 of those that wait to write. A waiter is counted in the word and then waits on a semaphore; whoever releases
/// takes one off the count and gives the semaphore a unit, so a waiter that has not come to wait yet finds it there.
public struct FDMutex: ~Copyable, Sendable {
  private let state = Atomic<UInt64>(0)
  private let readers = SemaphoreRoot(0)
  private let writers = SemaphoreRoot(0)

  public init() {}

  private static var closed: UInt64 { 1 << 0 }
  private static var reading: UInt64 { 1 << 1 }
  private static var writing: UInt64 { 1 << 2 }
  private static var reference: UInt64 { 1 << 3 }
  private static var references: UInt64 { fieldLimit << 3 }
  private static var readWaiter: UInt64 { 1 << 23 }
  private static var readWaiters: UInt64 { fieldLimit << 23 }
  private static var writeWaiter: UInt64 { 1 << 43 }
  private static var writeWaiters: UInt64 { fieldLimit << 43 }
  private static var fieldLimit: UInt64 { 1 << 20 - 1 }

  /// Whether `close` was called.
  public var isClosed: Bool { state.load(ordering: .relaxed) & Self.closed != 0 }

  /// Takes a reference, for an operation that neither reads nor writes; false when the descriptor is closed.
  @inline(__always)
  public func retain() -> Bool {
    var before = state.load(ordering: .relaxed)
    while before & Self.closed == 0 {
      if before & Self.references == Self.references { Self.refuse() }
      let result = state.compareExchange(
        expected: before, desired: before &+ Self.reference, successOrdering: .acquiring, failureOrdering: .relaxed)
      if result.exchanged { return true }
      before = result.original
    }
    return false
  }

  /// Gives it back. True when it was the last one of a closed descriptor, which is now the caller's to dispose of.
  @inline(__always)
  public func release() -> Bool {
    var before = state.load(ordering: .relaxed)
    while true {
      if before & Self.references == 0 { Self.inconsistent() }
      let after = before &- Self.reference
      let result = state.compareExchange(
        expected: before, desired: after, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed)
      if result.exchanged { return after & (Self.closed | Self.references) == Self.closed }
      before = result.original
    }
  }

  /// Closes: all waiters are woken, and find that out. The caller gets a reference, and first wakes whoever is inside an
  /// operation; false when the descriptor was closed before.
  public func close() -> Bool {
    var before = state.load(ordering: .relaxed)
    while before & Self.closed == 0 {
      if before & Self.references == Self.references { Self.refuse() }
      let after = ((before | Self.closed) &+ Self.reference) & ~(Self.readWaiters | Self.writeWaiters)
      let result = state.compareExchange(
        expected: before, desired: after, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed)
      if result.exchanged {
        let reading = Int((before & Self.readWaiters) / Self.readWaiter)
        if reading > 0 { readers.release(reading) }
        let writing = Int((before & Self.writeWaiters) / Self.writeWaiter)
        if writing > 0 { writers.release(writing) }
        return true
      }
      before = result.original
    }
    return false
  }

  /// Waits until nobody else is in this direction, and takes it and a reference; false when the descriptor is closed,
  /// also while it waits.
  @inline(__always)
  public func lock(_ mode: PollMode) -> Bool {
    let bit = mode == .read ? Self.reading : Self.writing
    let before = state.load(ordering: .relaxed)
    if before & (Self.closed | bit) == 0 && before & Self.references != Self.references
      && state.compareExchange(
        expected: before, desired: (before | bit) &+ Self.reference, successOrdering: .acquiring,
        failureOrdering: .relaxed
      ).exchanged
    {
      return true
    }
    return lockSlowly(mode)
  }

  @inline(never)
  private func lockSlowly(_ mode: PollMode) -> Bool {
    let (bit, waiter, waiters) =
      mode == .read
      ? (Self.reading, Self.readWaiter, Self.readWaiters) : (Self.writing, Self.writeWaiter, Self.writeWaiters)
    var before = state.load(ordering: .relaxed)
    while before & Self.closed == 0 {
      let isFree = before & bit == 0
      if before & (isFree ? Self.references : waiters) == (isFree ? Self.references : waiters) { Self.refuse() }
      let after = isFree ? (before | bit) &+ Self.reference : before &+ waiter
      let result = state.compareExchange(
        expected: before, desired: after, successOrdering: .acquiring, failureOrdering: .relaxed)
      before = result.original
      if !result.exchanged { continue }
      if isFree { return true }
      // Whoever gives the unit has taken this waiter off the count.
      switch mode {
      case .read: readers.acquire(1, .semaphore)
      case .write: writers.acquire(1, .semaphore)
      }
      before = state.load(ordering: .relaxed)
    }
    return false
  }

  /// Lets the next one in this direction, and drops the reference. True when that was the last one of a closed
  /// descriptor, which is now the caller's to dispose of.
  @inline(__always)
  public func unlock(_ mode: PollMode) -> Bool {
    let (bit, waiter, waiters) =
      mode == .read
      ? (Self.reading, Self.readWaiter, Self.readWaiters) : (Self.writing, Self.writeWaiter, Self.writeWaiters)
    var before = state.load(ordering: .relaxed)
    while true {
      if before & bit == 0 || before & Self.references == 0 { Self.inconsistent() }
      var after = (before & ~bit) &- Self.reference
      if before & waiters != 0 { after &-= waiter }
      let result = state.compareExchange(
        expected: before, desired: after, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed)
      if !result.exchanged {
        before = result.original
        continue
      }
      if before & waiters != 0 { wakeOne(mode) }
      return after & (Self.closed | Self.references) == Self.closed
    }
  }

  @inline(never)
  private func wakeOne(_ mode: PollMode) {
    switch mode {
    case .read: readers.release()
    case .write: writers.release()
    }
  }

  @inline(never)
  private static func refuse() -> Never {
    FatalReport.panic("too many concurrent operations on a single file or socket (max 1048575)")
  }

  @inline(never)
  private static func inconsistent() -> Never {
    FatalReport.panic("inconsistent poll.fdMutex")
  }
}
