import CApus
import Synchronization

/// Sleeping and waking on a word of memory (futex(2), private to the process).
@usableFromInline
enum Futex {
  /// Sleeps while `word` holds `expected`, until somebody wakes it, a signal comes or `nanoseconds` have passed (below
  /// zero: no limit). The caller tests its condition again: the kernel may return at any time.
  @usableFromInline
  static func wait(_ word: UnsafeMutablePointer<UInt32>, while expected: UInt32, nanoseconds: Int64 = -1) {
    _ = apus_futex_wait(word, expected, nanoseconds)
  }

  /// Where an atomic word lies. It has to be part of something that stays where it is.
  static func address(of word: borrowing Atomic<UInt32>) -> UnsafeMutablePointer<UInt32> {
    withUnsafePointer(to: word) {
      UnsafeMutableRawPointer(mutating: UnsafeRawPointer($0)).assumingMemoryBound(to: UInt32.self)
    }
  }

  /// Wakes at most `count` sleepers of `word`.
  @usableFromInline
  static func wake(_ word: UnsafeMutablePointer<UInt32>, count: UInt32 = 1) {
    _ = apus_futex_wake(word, count)
  }
}

/// A one-time event (Go's `note`): one thread sleeps, another wakes it, once between two calls of `clear`.
///
/// The word is 0 while nothing happened and 1 after `wake`. It is the sleeper's to clear, before it publishes that it
/// is about to sleep; so a wake-up that comes before the sleep is not lost.
struct Note: ~Copyable {
  private let word = Atomic<UInt32>(0)

  private var address: UnsafeMutablePointer<UInt32> {
    _read {
      yield withUnsafePointer(to: word) {
        UnsafeMutableRawPointer(mutating: UnsafeRawPointer($0)).assumingMemoryBound(to: UInt32.self)
      }
    }
  }

  /// Forgets an earlier wake-up. Nobody may sleep.
  func clear() {
    word.store(0, ordering: .relaxed)
  }

  /// Wakes the sleeper, or lets the next sleep return at once. Releases what the caller wrote.
  func wake() {
    let before = word.exchange(1, ordering: .acquiringAndReleasing)
    assert(before == 0, "a note was woken twice")
    Futex.wake(address)
  }

  /// Sleeps until `wake`. Acquires what the waker wrote.
  func sleep() {
    while word.load(ordering: .acquiring) == 0 {
      Futex.wait(address, while: 0)
    }
  }

  /// Sleeps until `wake` or for `nanoseconds`; true when it was woken.
  func sleep(nanoseconds: Int64) -> Bool {
    let end = Clock.nanotime() &+ nanoseconds
    while word.load(ordering: .acquiring) == 0 {
      let left = end &- Clock.nanotime()
      if left <= 0 { return false }
      Futex.wait(address, while: 0, nanoseconds: left)
    }
    return true
  }
}
