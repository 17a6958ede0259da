import ApusRuntime

public import struct Synchronization.Atomic

/// Runs one body once, whoever asks first (Go's `sync.Once`).
public final class Once: Sendable {
  @usableFromInline let isDone = Atomic<Bool>(false)
  @usableFromInline let word = MutexWord()

  /// A `Once` that has run nothing.
  @inlinable
  public init() {}

  /// Runs `body` if this is the first call of `run` on this object; returns when the first call's body has returned,
  /// whichever body that was. A body that throws has run: the first caller gets the error, and the others return.
  ///
  /// A call of `run` on the same object within `body` waits for ever.
  @inlinable
  @inline(__always)
  public func run<E: Error>(_ body: () throws(E) -> Void) throws(E) {
    if !isDone.load(ordering: .acquiring) { try runSlowly(body) }
  }

  @inlinable
  @inline(never)
  func runSlowly<E: Error>(_ body: () throws(E) -> Void) throws(E) {
    word.lock()
    defer { word.unlock() }
    if isDone.load(ordering: .relaxed) { return }
    // Set when the body has returned and not before: others must not go on while it runs.
    defer { isDone.store(true, ordering: .releasing) }
    try body()
  }
}
