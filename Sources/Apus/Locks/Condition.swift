public import ApusRuntime

/// Something that goroutines wait for with a mutex free, until a predicate of its value holds (Go's `sync.Cond`):
/// `Mutex.withLock(waitingOn:until:_:)`.
///
/// One condition may serve several mutexes, and one mutex several conditions. Notifications are not kept: with nobody
/// waiting, `signal` and `broadcast` do nothing.
public final class Condition: Sendable {
  @usableFromInline let list = NotifyList()

  /// A condition on which nobody waits.
  @inlinable
  public init() {}

  /// Has the one that has waited longest look at its predicate again. The mutex need not be held.
  @inlinable
  public func signal() {
    list.notifyOne()
  }

  /// Has everyone who waits look at their predicates again. The mutex need not be held.
  @inlinable
  public func broadcast() {
    list.notifyAll()
  }
}
