/// A value that many goroutines may read at a time, or one may write (Go's `sync.RWMutex`, with the value inside).
///
/// A writer that waits keeps new readers out, so that it comes to its turn when those who read now have left; and readers
/// who waited for a writer come before the next writer. Hence a goroutine must not read-lock again what it has
/// read-locked: with a writer waiting between the two, both wait for ever. It is not recursive otherwise either.
///
/// Like `Mutex`, it may be held while the goroutine waits for something else; waiting parks a goroutine and blocks a
/// thread that is no goroutine's.
///
/// Readers share the value, so the whole is `Sendable` only if the value is.
public final class RWMutex<Value: ~Copyable> {
  @usableFromInline let word = RWMutexWord()
  // Exclusive by the lock, as in `Mutex`.
  @exclusivity(unchecked) @usableFromInline nonisolated(unsafe) var value: Value

  /// A free lock around `initialValue`.
  @inlinable
  public init(_ initialValue: consuming sending Value) {
    value = initialValue
  }

  /// Waits until nobody writes or waits to write, and runs `body` with the value, which others may read meanwhile.
  @inlinable
  public func withReadLock<Result: ~Copyable, E: Error>(
    _ body: (borrowing Value) throws(E) -> sending Result
  ) throws(E) -> sending Result {
    word.lockForReading()
    defer { word.unlockForReading() }
    return try body(value)
  }

  /// Waits until nobody reads or writes, and runs `body` with the value, which nobody else sees meanwhile.
  @inlinable
  public func withWriteLock<Result: ~Copyable, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending Result
  ) throws(E) -> sending Result {
    word.lockForWriting()
    defer { word.unlockForWriting() }
    return try body(&value)
  }

  /// As `withReadLock`, but nil, without waiting, if somebody writes or waits to write.
  @inlinable
  public func withReadLockIfAvailable<Result: ~Copyable, E: Error>(
    _ body: (borrowing Value) throws(E) -> sending Result
  ) throws(E) -> sending Result? {
    guard word.tryLockForReading() else { return nil }
    defer { word.unlockForReading() }
    return try body(value)
  }

  /// As `withWriteLock`, but nil, without waiting, if somebody reads or writes.
  @inlinable
  public func withWriteLockIfAvailable<Result: ~Copyable, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending Result
  ) throws(E) -> sending Result? {
    guard word.tryLockForWriting() else { return nil }
    defer { word.unlockForWriting() }
    return try body(&value)
  }
}

// Unchecked: `value` is written only by whoever holds `word` for writing.
extension RWMutex: @unchecked Sendable where Value: ~Copyable & Sendable {}
