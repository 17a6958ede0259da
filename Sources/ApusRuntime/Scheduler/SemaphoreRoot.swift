import CApus
import Synchronization

/// A counting semaphore on which goroutines park and foreign threads block (Go's `semacquire` and `semrelease`): the one
/// mechanism under every lock of the `Apus` module.
///
/// Go's semaphores are bare words, so it finds the waiters of one through a hash table by address, with a tree in each
/// bucket. Here whatever needs a semaphore is an object or a record that stays where it is as long as somebody waits
/// (who waits in an object refers to it), so the waiters hang on the semaphore itself: no hash, no tree, and no lock that
/// unrelated semaphores share.
///
/// `word` is the count, shifted left by one, and in the lowest bit whether somebody waits. While nobody waits, taking
/// and giving are one compare-exchange each. The bit is set and cleared under `lock` only, and while it is set `word` is
/// written under `lock` only: every exchange without the lock expects the bit clear, and fails. So a thread that holds
/// the lock and sees the bit owns the count; and a waiter that sets the bit has seen, in the same exchange, that there
/// was not enough for it: what is released later comes to the queue.
///
/// Units are granted to the waiter before it runs, in the order of the queue, and only when all that the first waiter
/// wants are there: nobody who comes later takes them, and a large wish is not starved by small ones. (Go's semaphore lets
/// a newcomer take the unit from under the waiter that was woken for it, unless the release hands it off. What barging a
/// lock wants for its throughput happens in the lock's own word, above this.)
public struct SemaphoreRoot: ~Copyable, @unchecked Sendable {
  // Unchecked: the waiters are under `lock`.
  @usableFromInline let word: Atomic<Int>
  private let lock = RuntimeLock(.semaphore)
  /// Under `lock`; the number of each is how many units it wants.
  private let waiters = NumberedWaiters()

  /// The largest count.
  @inlinable @inline(__always)
  public static var limit: Int { Int.max >> 1 }

  /// A semaphore with `count` units: from 0 to `limit`, which is the caller's to check.
  @inlinable
  public init(_ count: Int) {
    word = Atomic(count << 1)
  }

  /// Takes `units` (not negative) if they are there and nobody waits; false otherwise.
  @inlinable
  @inline(__always)
  public func tryAcquire(_ units: Int = 1) -> Bool {
    var before = word.load(ordering: .relaxed)
    while before & 1 == 0 && before >> 1 >= units {
      let result = word.compareExchange(
        expected: before, desired: before &- (units << 1), successOrdering: .acquiring, failureOrdering: .relaxed)
      if result.exchanged { return true }
      before = result.original
    }
    return false
  }

  /// Takes `units` (not negative), or parks until they were released to this goroutine. With `inFront` it waits before
  /// all others, which is for semaphores whose waiters all want one.
  @inlinable
  @inline(__always)
  public func acquire(_ units: Int = 1, _ reason: WaitReason, inFront: Bool = false) {
    if tryAcquire(units) { return }
    acquireWaiting(units, reason, inFront: inFront)
  }

  /// Gives `units` (not negative) back: to those who wait, as far as it is enough for the first of them, else to the
  /// count. With `handOff` the caller yields to the goroutine that it woke. False, and nothing done, when the count would
  /// pass `limit`. `others`: how many will wait on, for a profile, where the caller knows.
  @inlinable
  @inline(__always)
  @discardableResult
  public func release(_ units: Int = 1, handOff: Bool = false, others: Int = 0) -> Bool {
    var before = word.load(ordering: .relaxed)
    while before & 1 == 0 {
      if units > Self.limit &- (before >> 1) { return false }
      let result = word.compareExchange(
        expected: before, desired: before &+ (units << 1), successOrdering: .releasing, failureOrdering: .relaxed)
      if result.exchanged { return true }
      before = result.original
    }
    return releaseToWaiters(units, handOff: handOff, others: others)
  }

  /// How many wait; old by the time it is known (Go's `SemNwait`).
  package var waiterCount: Int {
    let m = currentM()
    lock.lock(m)
    let count = waiters.count
    lock.unlock(m)
    return count
  }

  @usableFromInline
  @inline(never)
  func acquireWaiting(_ units: Int, _ reason: WaitReason, inFront: Bool) {
    assert(!inFront || units == 1, "only a wish for one unit may wait in front")
    let m = currentM()
    lock.lock(m)
    var before = word.load(ordering: .relaxed)
    while before & 1 == 0 {
      let isEnough = before >> 1 >= units
      let result = word.compareExchange(
        expected: before, desired: isEnough ? before &- (units << 1) : before | 1, successOrdering: .acquiring,
        failureOrdering: .relaxed)
      if result.exchanged {
        if !isEnough { break }
        lock.unlock(m)
        return
      }
      before = result.original
    }
    let waiter = m.currentG.ownWaiter
    noteWaiting(waiter, reason, inFront: inFront)
    if inFront { waiters.prepend(waiter, units) } else { waiters.append(waiter, units) }
    Park.park(reason, unlocking: lock.pointer)
  }

  /// The time from which on releases are charged with the wait of `waiter`, which is about to be queued. One that comes back
  /// to the front takes over the first one's: the first one's is charged. Under `lock`.
  @inline(__always)
  private func noteWaiting(_ waiter: UnsafeMutablePointer<Waiter>, _ reason: WaitReason, inFront: Bool) {
    waiter.pointee.chargedSince = 0
    if !MutexProfile.isOn || !reason.isMutexWait { return }
    let first = inFront ? waiters.first?.pointee.chargedSince ?? 0 : 0
    waiter.pointee.chargedSince = first != 0 ? first : Clock.nanotime()
  }

  @usableFromInline
  @inline(never)
  func releaseToWaiters(_ units: Int, handOff: Bool, others: Int) -> Bool {
    let m = currentM()
    lock.lock(m)
    var before = word.load(ordering: .relaxed)
    // The waiters may have gone before the lock was free: then others change the count without it.
    while before & 1 == 0 {
      if units > Self.limit &- (before >> 1) {
        lock.unlock(m)
        return false
      }
      let result = word.compareExchange(
        expected: before, desired: before &+ (units << 1), successOrdering: .releasing, failureOrdering: .relaxed)
      if result.exchanged {
        lock.unlock(m)
        return true
      }
      before = result.original
    }
    var count = before >> 1
    if units > Self.limit &- count {
      lock.unlock(m)
      return false
    }
    count &+= units
    var hasGranted = false
    var charge = MutexProfile.Charge()
    // Granted waiters are in nobody's queue, and their goroutines run only when they are made ready: after the lock.
    var granted = GChain()
    while let waiter = waiters.first, waiter.pointee.number <= count {
      count &-= waiter.pointee.number
      waiters.remove(waiter, after: nil)
      charge.add(waiter)
      granted.append(waiter.pointee.g)
      hasGranted = true
    }
    charge.add(others, first: waiters.first, last: waiters.last)
    word.store(count << 1 | (waiters.first == nil ? 0 : 1), ordering: .releasing)
    lock.unlockKeepingSection(m)
    granted.readyAll(on: m)
    releaseM(m)
    charge.count()
    // What was made ready last is next on this P, and takes over the running slice.
    if handOff && hasGranted { Park.yield() }
    return true
  }
}

extension RuntimeLock {
  /// The lock's address, for `Park.park`. A lock is part of something that stays where it is, and an atomic value is never
  /// moved to be read, so the address is the same each time.
  var pointer: UnsafeMutablePointer<RuntimeLock> {
    withUnsafePointer(to: self) { UnsafeMutablePointer(mutating: $0) }
  }
}
