public import ApusRuntime

/// A value that one goroutine at a time may use (Go's `sync.Mutex`, with the value inside).
///
/// A goroutine that has to wait spins for a moment and then parks: its thread runs others meanwhile. A thread that is no
/// goroutine's blocks. Waiters are woken in the order in which they came, though one that arrives while the lock is free
/// may take it before them; one that has waited for a millisecond gets it next. Uncontended, locking and unlocking cost
/// one atomic instruction, inlined; two and a call in the mutex's first few thousand uses, and in as many after somebody
/// has waited for it. The first to wait after those has the kernel make a barrier in every running thread, which takes up
/// to 10 us (membarrier(2); a filter of system calls should allow it, and one that ends the process at it will do so).
///
/// The mutex may be held while the goroutine waits for something else: receives from a channel, sleeps, takes another
/// mutex, or yields, and it may go on on another thread. The standard library's `Synchronization.Mutex` may not: it
/// belongs to the *thread* that took it and blocks the threads that want it. A goroutine that parks while it holds one
/// can go on on another thread, which then releases a lock that it does not own, and the goroutines that want it
/// take their threads away from the scheduler, perhaps all of them, with the holder never to run again.
///
/// Both have the name `Mutex`. A file that needs this one and the atomics imports those alone:
///
///     import Apus
///     import struct Synchronization.Atomic
///
/// A file that needs both mutexes imports both modules and writes `Apus.Mutex` and `Synchronization.Mutex`.
///
/// A mutex is not recursive: `withLock` within `withLock` of the same mutex waits for ever, and so does a second
/// goroutine's when the first waits for it within `withLock`.
public final class Mutex<Value: ~Copyable>: @unchecked Sendable {
  // Unchecked: `value` is used only by whoever holds `word`.
  @usableFromInline let word = MutexWord()
  // Exclusive by the lock: Swift's own check would cost more than the lock does.
  @exclusivity(unchecked) @usableFromInline nonisolated(unsafe) var value: Value

  /// A free mutex around `initialValue`.
  @inlinable
  public init(_ initialValue: consuming sending Value) {
    value = initialValue
  }

  /// Waits until nobody holds the mutex, and runs `body` with the value, which nobody else sees meanwhile.
  @inlinable
  public func withLock<Result: ~Copyable, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending Result
  ) throws(E) -> sending Result {
    word.lock()
    defer { word.unlock() }
    return try body(&value)
  }

  /// Runs `body` with the value if nobody holds the mutex; nil otherwise, without waiting. It is nil also while the mutex
  /// is about to be handed to a goroutine that has waited for long.
  @inlinable
  public func withLockIfAvailable<Result: ~Copyable, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending Result
  ) throws(E) -> sending Result? {
    guard word.tryLock() else { return nil }
    defer { word.unlock() }
    return try body(&value)
  }

  /// Waits until `isReady` is true of the value, and runs `body` with it.
  ///
  /// `isReady` is called with the mutex held, at once and again after each notification of `condition`; between them
  /// the mutex is free. So whoever changes the value such that somebody's `isReady` may become true calls `signal` or
  /// `broadcast` afterwards.
  ///
  /// There is no way to wait within `withLock`: the value would change under its `inout` access.
  @inlinable
  public func withLock<Result: ~Copyable, E: Error>(
    waitingOn condition: Condition, until isReady: (borrowing Value) -> Bool,
    _ body: (inout sending Value) throws(E) -> sending Result
  ) throws(E) -> sending Result {
    word.lock()
    while !isReady(value) {
      // The ticket is taken under the mutex: whoever changes the value after this look at it notifies the ticket.
      let ticket = condition.list.takeTicket()
      word.unlock()
      condition.list.wait(ticket, .conditionWait)
      word.lock()
    }
    defer { word.unlock() }
    return try body(&value)
  }
}
