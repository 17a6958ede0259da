public import ApusRuntime

public import struct Synchronization.Atomic

/// The lock in `Mutex`, `RWMutex` and `Once`, without a value (Go's `internal/sync.Mutex`).
///
/// It is in one of two modes. In *normal* mode a goroutine that was woken competes with those that arrive, which are
/// running and mostly win: that is fast, since a lock that is free is taken without a switch. The loser goes back to the
/// front of the queue; one that has waited for more than a millisecond sets *starving* mode. Then the lock is handed from
/// the one that releases it to the first in the queue, and those who arrive neither spin nor try, but join the queue's
/// end. The mode ends with a waiter that was the last, or that waited for less than a millisecond.
///
/// The state's bits: held, woken (somebody is awake and will try: no need to wake another), starving; above them the
/// number of goroutines that wait. A waiter counts itself in the state first and then goes to the semaphore, whoever
/// releases the lock discounts one and releases the semaphore: in whichever order they get there, the unit and the waiter
/// meet.
@usableFromInline
struct MutexWord: ~Copyable, Sendable {
  @usableFromInline let state = Atomic<Int32>(0)
  @usableFromInline let waiters = SemaphoreRoot(0)

  @inlinable @inline(__always) static var held: Int32 { 1 }
  static var woken: Int32 { 2 }
  static var starving: Int32 { 4 }
  static var oneWaiter: Int32 { 8 }
  static var starvationThreshold: Int64 { 1_000_000 }

  @inlinable
  init() {}

  /// Takes the lock.
  @inlinable
  @inline(__always)
  func lock() {
    let result = state.compareExchange(
      expected: 0, desired: Self.held, successOrdering: .acquiring, failureOrdering: .relaxed)
    if !result.exchanged { lockSlowly() }
  }

  /// Takes the lock if it is free and not promised to a waiter.
  @inlinable
  @inline(__always)
  func tryLock() -> Bool {
    let before = state.load(ordering: .relaxed)
    // Held or starving.
    if before & 5 != 0 { return false }
    return state.compareExchange(
      expected: before, desired: before | Self.held, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  /// Gives the lock back. The caller holds it.
  @inlinable
  @inline(__always)
  func unlock() {
    // Whether it is zero now is in the flags of the instruction; the value would need a slower one.
    if state.wrappingSubtract(Self.held, ordering: .releasing).newValue != 0 { unlockSlowly() }
  }

  @usableFromInline
  @inline(never)
  func lockSlowly() {
    var startedWaiting: Int64 = 0
    var isStarving = false
    var isAwake = false
    var round = 0
    var before = state.load(ordering: .relaxed)
    while true {
      // A lock that will be handed over can't be had by spinning.
      if before & (Self.held | Self.starving) == Self.held && ActiveSpin.isWorthwhile(round) {
        // Say that somebody is awake, so that the holder wakes nobody else.
        if !isAwake && before & Self.woken == 0 && before >= Self.oneWaiter
          && state.compareExchange(expected: before, desired: before | Self.woken, ordering: .relaxed).exchanged
        {
          isAwake = true
        }
        ActiveSpin.spin()
        round += 1
        before = state.load(ordering: .relaxed)
        continue
      }
      var after = before
      if before & Self.starving == 0 { after |= Self.held }
      if before & (Self.held | Self.starving) != 0 { after &+= Self.oneWaiter }
      // Only while it is held: starving mode means that there is a waiter and somebody who will hand over.
      if isStarving && before & Self.held != 0 { after |= Self.starving }
      if isAwake {
        assert(after & Self.woken != 0, "somebody else has taken the mark that this goroutine is awake")
        after &= ~Self.woken
      }
      let result = state.compareExchange(
        expected: before, desired: after, successOrdering: .acquiring, failureOrdering: .relaxed)
      guard result.exchanged else {
        before = result.original
        continue
      }
      if before & (Self.held | Self.starving) == 0 { return }
      let hasWaited = startedWaiting != 0
      if !hasWaited { startedWaiting = Clock.nanotime() }
      waiters.acquire(1, .mutexLock, inFront: hasWaited)
      isStarving = isStarving || Clock.nanotime() &- startedWaiting > Self.starvationThreshold
      before = state.load(ordering: .relaxed)
      if before & Self.starving != 0 {
        // Handed over: the state says held, but not yet one waiter less.
        assert(
          before & (Self.held | Self.woken) == Self.held && before >= Self.oneWaiter,
          "a starving mutex is handed over that is not held or has no waiter")
        var change = -Self.oneWaiter
        // Handing over costs a switch each time: leave the mode as soon as it is not needed.
        if !isStarving || before < 2 * Self.oneWaiter { change &-= Self.starving }
        state.wrappingAdd(change, ordering: .acquiring)
        return
      }
      isAwake = true
      round = 0
    }
  }

  /// The lock was released, and the state was not zero. Others may have taken and released it since, so what is to be done
  /// about the state as it is now is whoever's who claims it, by a compare-exchange.
  @usableFromInline
  @inline(never)
  func unlockSlowly() {
    var before = state.load(ordering: .relaxed)
    while before & (Self.starving | Self.held) == Self.starving {
      // The first waiter gets the lock, held already, and the rest of this slice.
      let result = state.compareExchange(expected: before, desired: before | Self.held, ordering: .relaxed)
      if result.exchanged {
        waiters.release(1, handOff: true)
        return
      }
      before = result.original
    }
    // Nobody to wake, or somebody has the lock or is awake already, or is about to hand over.
    while before >= Self.oneWaiter && before & (Self.held | Self.woken | Self.starving) == 0 {
      let result = state.compareExchange(
        expected: before, desired: (before &- Self.oneWaiter) | Self.woken, ordering: .relaxed)
      if result.exchanged {
        waiters.release()
        return
      }
      before = result.original
    }
  }
}
