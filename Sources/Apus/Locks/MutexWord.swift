public import ApusRuntime

public import func Synchronization.atomicMemoryFence
public import struct Synchronization.Atomic

/// The lock in `Mutex`, `RWMutex` and `Once`, without a value (after Go's `internal/sync.Mutex`).
///
/// It is in one of two modes towards those who wait. In *normal* mode a goroutine that was woken competes with those that
/// arrive, which are running and mostly win: that is fast, since a lock that is free is taken without a switch. The loser
/// goes back to the front of the queue; one that has waited for more than a millisecond sets *starving* mode. Then the
/// lock is handed from the one that releases it to the first in the queue, and stays held meanwhile, so those who arrive
/// cannot have it and join the queue's end. The mode ends with a waiter that was the last, or that waited for less than a
/// millisecond.
///
/// Whether somebody holds it, and what there is to know of those who wait, are two words: so a lock that nobody waits for
/// is released by a plain store, and a look at `state` after it. What makes that safe is in whoever comes to wait
/// (D. Dice, "Asymmetric Dekker Synchronization"): it counts itself in `state`, has the kernel put a barrier into every
/// running thread (`ThreadBarrier`), tries the lock once more, and only then goes to sleep. A release whose look came
/// before the barrier had its store before it, too, and the trial finds the lock free; one whose look comes after it sees
/// the waiter. The barrier is expensive, 1 to 10 us, so it is paid once in thousands of operations: the first who
/// waits makes the lock *watched*, and while it is, releases exchange `holder`, and those who come to wait do with the order
/// of sequential consistency. A lock begins watched, and is no more after `calmReleases` releases in a row at which nobody
/// was there. One who comes while the first has not had its barrier yet goes to sleep all the same: should a release have
/// missed both, the first finds the lock free, and its own release wakes the second. And a plain release that was under way
/// when the lock became watched, and sees somebody, makes its store visible before it looks who there is (`wakeOne`): else
/// one that it takes to be awake could have found the lock held yet, and gone to sleep, with no barrier.
///
/// The memory of a lock outlives its release: who gives it back looks at `state` when somebody else may hold it already.
/// All locks are in objects that whoever uses them keeps.
@usableFromInline
struct MutexWord: ~Copyable, Sendable {
  /// 1 while somebody holds the lock, also while it is handed over. Taken by a compare-exchange; cleared by the holder.
  @usableFromInline let holder = Atomic<Int32>(0)
  /// Whether the lock is watched, whether somebody is *woken* (awake and about to try, or about to be given the unit of
  /// `waiters` that wakes it: no need to wake another), whether it is starving; above them the number of those between
  /// having counted themselves in and having the lock or being awake again. While it is 0 releases are plain.
  ///
  /// `woken` is set by the one who wakes, or by one that spins while others wait, and belongs from then on to the one
  /// who is awake. `starving` is set by one that is awake, along with giving up `woken`; who holds the lock clears it. So
  /// there is never a unit under way that wakes while the lock is starving, and one who comes out of `waiters` has the lock
  /// if it is starving, and has to try for it if not.
  @usableFromInline let state = Atomic<Int32>(MutexWord.watched)
  /// Releases in a row at which nobody waited. The holder's.
  private let calm = Atomic<Int32>(0)
  @usableFromInline let waiters = SemaphoreRoot(0)

  @inlinable @inline(__always) static var watched: Int32 { 1 }
  static var woken: Int32 { 2 }
  static var starving: Int32 { 4 }
  static var oneWaiter: Int32 { 8 }
  private static var starvationThreshold: Int64 { 1_000_000 }
  /// At 1 to 2 ns that a plain release saves, as many as that win back most of a barrier.
  private static var calmReleases: Int32 { 4096 }

  @inlinable
  init() {}

  /// Takes the lock.
  @inlinable
  @inline(__always)
  func lock() {
    if !take() { lockSlowly() }
  }

  /// Takes the lock if it is free and not promised to a waiter.
  @inlinable
  @inline(__always)
  func tryLock() -> Bool {
    holder.load(ordering: .relaxed) == 0 && take()
  }

  @inlinable
  @inline(__always)
  func take() -> Bool {
    holder.compareExchange(expected: 0, desired: 1, successOrdering: .acquiring, failureOrdering: .relaxed).exchanged
  }

  /// Gives the lock back. The caller holds it.
  @inlinable
  @inline(__always)
  func unlock() {
    if state.load(ordering: .relaxed) != 0 { return unlockWatched() }
    holder.store(0, ordering: .releasing)
    // Keeps the compiler from looking first. Keeping the CPU from it is the waiter's part; on x86 this is no instruction.
    atomicMemoryFence(ordering: .acquiringAndReleasing)
    if state.load(ordering: .relaxed) != 0 { wakeOne() }
  }

  @usableFromInline
  @inline(never)
  func lockSlowly() {
    var startedWaiting: Int64 = 0
    var isStarving = false
    // Whether `woken` is this one's.
    var isAwake = false
    var round = 0
    while true {
      if tryLock() {
        if isAwake { state.wrappingSubtract(Self.woken, ordering: .relaxed) }
        return
      }
      let seen = state.load(ordering: .relaxed)
      // A lock that will be handed over can't be had by spinning.
      if seen & Self.starving == 0 && ActiveSpin.isWorthwhile(round) {
        if !isAwake && seen & Self.woken == 0 && seen >= Self.oneWaiter
          && state.compareExchange(expected: seen, desired: seen | Self.woken, ordering: .relaxed).exchanged
        {
          isAwake = true
        }
        ActiveSpin.spin()
        round += 1
        continue
      }
      if countIn(isAwake: isAwake, isStarving: isStarving) { return }
      let hasWaited = startedWaiting != 0
      if !hasWaited { startedWaiting = Clock.nanotime() }
      waiters.acquire(1, .mutexLock, inFront: hasWaited)
      isStarving = isStarving || Clock.nanotime() &- startedWaiting > Self.starvationThreshold
      let now = state.load(ordering: .relaxed)
      if now & Self.starving != 0 {
        // Handed over. Handing over costs a switch each time: leave the mode as soon as it is not needed.
        assert(holder.load(ordering: .relaxed) == 1, "a starving mutex is handed over that nobody holds")
        countOut(isStarving: !isStarving || now < 2 * Self.oneWaiter)
        return
      }
      assert(now & Self.woken != 0, "somebody else has taken the mark that this goroutine is awake")
      state.wrappingSubtract(Self.oneWaiter, ordering: .relaxed)
      isAwake = true
      round = 0
    }
  }

  /// Announces one that will sleep, and tries once more; true if it has the lock now, and is announced no more.
  private func countIn(isAwake: Bool, isStarving: Bool) -> Bool {
    var before = state.load(ordering: .relaxed)
    while true {
      var after = (before | Self.watched) &+ Self.oneWaiter
      if isAwake {
        assert(before & Self.woken != 0, "somebody else has taken the mark that this goroutine is awake")
        after &= ~Self.woken
      }
      if isStarving { after |= Self.starving }
      let result = state.compareExchange(expected: before, desired: after, ordering: .sequentiallyConsistent)
      if result.exchanged { break }
      before = result.original
    }
    if before & Self.watched == 0 && !ThreadBarrier.run() {
      // The kernel has it no more (a filter of system calls came after the start): who sleeps now might not be seen. So it
      // does not, and is not counted: nothing can be handed to it. Those that have seen the lock watched by it do sleep, and
      // its own release wakes them.
      assert(!isAwake && !isStarving, "a mutex is not watched while somebody is awake")
      countOut(isStarving: false)
      while !tryLock() { Park.yield() }
      return true
    }
    let result = holder.compareExchange(
      expected: 0, desired: 1, successOrdering: .sequentiallyConsistent, failureOrdering: .sequentiallyConsistent)
    if result.exchanged { countOut(isStarving: isStarving) }
    return result.exchanged
  }

  /// One that was counted will not sleep, or has slept. `isStarving`: it has the lock, which is starving no more.
  private func countOut(isStarving: Bool) {
    var before = state.load(ordering: .relaxed)
    while true {
      assert(before >= Self.oneWaiter, "a mutex has fewer waiters than have been counted")
      var after = before &- Self.oneWaiter
      if isStarving { after &= ~Self.starving }
      let result = state.compareExchange(expected: before, desired: after, ordering: .relaxed)
      if result.exchanged { return }
      before = result.original
    }
  }

  /// Gives the lock back while it is watched.
  @usableFromInline
  @inline(never)
  func unlockWatched() {
    while true {
      let before = state.load(ordering: .relaxed)
      if before == Self.watched {
        calmDown()
        holder.store(0, ordering: .sequentiallyConsistent)
        if !mustHandOver() { return }
        continue
      }
      if before & Self.starving != 0 {
        // Whoever set it is counted, and sleeps or finds the lock held and will. It, or who is before it, gets the lock,
        // held already, and the rest of this slice.
        waiters.release(1, handOff: true, others: Int(before / Self.oneWaiter) - 1)
        return
      }
      calm.store(0, ordering: .relaxed)
      // A unit that was to wake one who got the lock without it: nobody is awake, then, so the mark goes with it.
      if before & Self.woken != 0 && before < Self.oneWaiter && waiters.tryAcquire() {
        state.wrappingSubtract(Self.woken, ordering: .relaxed)
      }
      // Not to be stopped between the release and waking: those who wait would wait for this goroutine's next turn.
      let m = acquireM()
      holder.store(0, ordering: .sequentiallyConsistent)
      let mustHandOver = mustHandOver()
      releaseM(m)
      if !mustHandOver { return }
    }
  }

  /// Makes releases plain again when nobody has waited for long.
  private func calmDown() {
    let count = calm.load(ordering: .relaxed) &+ 1
    calm.store(count < Self.calmReleases ? count : 0, ordering: .relaxed)
    if count < Self.calmReleases || !ThreadBarrier.isAvailable { return }
    // Somebody who has been counted meanwhile keeps it watched; who is counted later has a barrier made.
    _ = state.compareExchange(expected: Self.watched, desired: 0, ordering: .relaxed)
  }

  /// The lock was released plainly, and then somebody was there.
  @usableFromInline
  @inline(never)
  func wakeOne() {
    let m = acquireM()
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let mustHandOver = mustHandOver()
    releaseM(m)
    if mustHandOver { unlockWatched() }
  }

  /// The lock was released: wakes one of those who wait, unless somebody has the lock already or is awake, who will then
  /// do so. True if the lock has become starving meanwhile: the caller holds it again, and is to release it as such.
  private func mustHandOver() -> Bool {
    var before = state.load(ordering: .sequentiallyConsistent)
    while before >= Self.oneWaiter && before & Self.woken == 0 && holder.load(ordering: .relaxed) == 0 {
      if before & Self.starving != 0 { return tryLock() }
      let result = state.compareExchange(expected: before, desired: before | Self.woken, ordering: .relaxed)
      if result.exchanged {
        waiters.release(others: Int(before / Self.oneWaiter) - 1)
        return false
      }
      before = result.original
    }
    return false
  }
}
