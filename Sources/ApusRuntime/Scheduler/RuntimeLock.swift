import CApus
import Synchronization

/// A mutual exclusion lock for the runtime's own state (Go's `mutex`, after Drepper's "Futexes Are Tricky", mutex 3).
///
/// The word is 0 when free, 1 when held, 2 when held and somebody may sleep. To hold one is to be in the runtime
/// (Section.swift): the holder cannot be stopped, only the kernel can take its CPU; so a waiter spins for some ten
/// microseconds, about what a futex round trip costs, before it sleeps. Between two looks it waits twice as long as before
/// (Anderson, "The Performance of Spin Lock Alternatives", 1990): each look takes the lock's cache line, and mostly what the
/// lock guards with it, from the core that works there. One that looks at long intervals lets the other do some dozen
/// operations in its own cache, for which both would else fetch the line in turn: a channel that eight goroutines use on
/// two processors takes less than half the time for it.
public struct RuntimeLock: ~Copyable {
  @usableFromInline let word = Atomic<UInt32>(0)
  @usableFromInline let rank: LockRank

  @inlinable
  public init(_ rank: LockRank) {
    self.rank = rank
  }

  /// Takes the lock. `m` is the calling thread's M. `amongEquals`: the thread holds others of the same rank, taken in
  /// ascending order of address.
  @inlinable
  @inline(__always)
  public func lock(_ m: MRef, amongEquals: Bool = false) {
    m.enter()
    #if DEBUG
      m.pointee.noteAcquire(rank, amongEquals: amongEquals)
    #endif
    if word.compareExchange(expected: 0, desired: 1, successOrdering: .acquiring, failureOrdering: .relaxed).exchanged {
      return
    }
    lockSlow()
  }

  /// Gives the lock back. The caller holds it, on the thread of `m`, which need not be the thread that took it: a
  /// goroutine that parks leaves its lock to whoever runs next on the same M.
  ///
  /// From the exchange on, the lock may be gone: whoever takes it next may be the last to need what it is in, and free
  /// it. So nothing of it is read afterwards; its address may still be woken, which is no access, and a sleeper that
  /// is there for another reason tests its own word again.
  @inlinable
  @inline(__always)
  public func unlock(_ m: MRef) {
    unlockKeepingSection(m)
    m.leave()
  }

  /// The same, but the thread stays in the runtime; the caller ends that by `leave`. For what has to follow the lock at
  /// once: a goroutine that was taken off a queue must not wait until this one, stopped in between, goes on.
  @inlinable
  @inline(__always)
  public func unlockKeepingSection(_ m: MRef) {
    #if DEBUG
      m.pointee.noteRelease(rank)
    #endif
    let address = address
    let before = word.exchange(0, ordering: .releasing)
    assert(before != 0, "unlock of a lock that nobody holds")
    if before == 2 { Self.wakeOne(address) }
  }

  @usableFromInline
  @inline(never)
  func lockSlow() {
    // 316 pauses in all; the longest, of 64, is about two microseconds.
    for round in 2..<10 {
      for _ in 0..<(1 << min(round, 6)) { apus_spin_hint() }
      if word.load(ordering: .relaxed) == 0,
        word.compareExchange(expected: 0, desired: 1, successOrdering: .acquiring, failureOrdering: .relaxed).exchanged
      {
        return
      }
    }
    // From here on the lock is taken as 2: this thread cannot know whether others sleep beside it.
    while word.exchange(2, ordering: .acquiring) != 0 {
      Futex.wait(address, while: 2)
    }
  }

  @usableFromInline
  @inline(never)
  static func wakeOne(_ address: UnsafeMutablePointer<UInt32>) {
    Futex.wake(address)
  }

  /// True while anybody holds the lock; for assertions.
  var isHeld: Bool { word.load(ordering: .relaxed) != 0 }

  @inlinable
  @inline(__always)
  var address: UnsafeMutablePointer<UInt32> {
    withUnsafePointer(to: word) {
      UnsafeMutableRawPointer(mutating: UnsafeRawPointer($0)).assumingMemoryBound(to: UInt32.self)
    }
  }
}
