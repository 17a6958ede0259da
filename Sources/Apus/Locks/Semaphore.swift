public import ApusRuntime

/// A number of units that goroutines take and give back (as `golang.org/x/sync/semaphore`, without an upper bound: units
/// may be released that were never acquired, so it also serves to signal).
///
/// Those who wait are served first come, first served, and each gets all its units at once: while the first waits for
/// many, later ones wait behind it even if there were enough for them, so it is not starved. An acquire of more units
/// than there will ever be waits for ever, and all who come after it.
public final class Semaphore: Sendable {
  @usableFromInline let root: SemaphoreRoot

  /// A semaphore with `count` units. A negative `count` ends the process with `panic: semaphore: negative count`, one above
  /// 2^62 - 1 with `panic: semaphore: count out of range`.
  @inlinable
  public init(_ count: Int) {
    if count < 0 || count > SemaphoreRoot.limit { Self.refuse(count) }
    root = SemaphoreRoot(count)
  }

  /// Takes `count` units, and waits until they are there and everybody who came before has got theirs. A negative
  /// `count` ends the process with `panic: semaphore: negative count`.
  @inlinable
  public func acquire(_ count: Int = 1) {
    if count < 0 { Self.refuse(count) }
    root.acquire(count, .semaphore)
  }

  /// Takes `count` units if they are there and nobody waits; false otherwise. A negative `count` ends the process with
  /// `panic: semaphore: negative count`.
  @inlinable
  public func tryAcquire(_ count: Int = 1) -> Bool {
    if count < 0 { Self.refuse(count) }
    return root.tryAcquire(count)
  }

  /// Gives `count` units back. A negative `count` ends the process with `panic: semaphore: negative count`, one that
  /// brings the total above 2⁶² − 1 with `panic: semaphore: count out of range`.
  @inlinable
  public func release(_ count: Int = 1) {
    if count < 0 { Self.refuse(count) }
    if !root.release(count) { Self.refuse(count) }
  }

  @usableFromInline
  @inline(never)
  static func refuse(_ count: Int) -> Never {
    Fatal.panic(count < 0 ? "semaphore: negative count" : "semaphore: count out of range")
  }
}
