/// One goroutine's place in a queue of waiters (Go's `sudog`). The queue's lock protects every field while the waiter is
/// queued; before and after it is the goroutine's own.
public struct Waiter: ~Copyable {
  public let g: GRef
  @usableFromInline var next: UnsafeMutablePointer<Waiter>?
  @usableFromInline var previous: UnsafeMutablePointer<Waiter>?
  /// Where a sender's element lies, or a receiver wants one. Never on the goroutine's stack: while the goroutine is
  /// parked, nobody else writes there.
  public var element: UnsafeMutableRawPointer?
  /// Written by whoever wakes the waiter, before `ready`: a partner came (true), or the channel was closed (false).
  public var succeeded = false
  @usableFromInline var isQueued = false
  /// One of several places of a goroutine in a `select`: whoever takes it off its queue has to claim the whole first.
  @usableFromInline var isInSelect = false
  /// Which place of its `select` it is.
  @usableFromInline var index: Int32 = 0

  @usableFromInline
  init(_ g: GRef) {
    self.g = g
  }
}

/// A queue of waiters, first come first served (Go's `waitq`). The lock of whatever holds it protects it.
public struct WaitQueue {
  /// Written under the lock; a channel reads it without (`peekReceivable`, `peekSendable`).
  public var first: UnsafeMutablePointer<Waiter>?
  @usableFromInline var last: UnsafeMutablePointer<Waiter>?

  @inlinable
  public init() {}

  @inlinable
  @inline(__always)
  public var isEmpty: Bool { first == nil }

  @inlinable
  @inline(__always)
  public mutating func append(_ waiter: UnsafeMutablePointer<Waiter>) {
    assert(!waiter.pointee.isQueued, "a waiter is queued twice")
    waiter.pointee.next = nil
    waiter.pointee.previous = last
    waiter.pointee.isQueued = true
    if let last { last.pointee.next = waiter } else { first = waiter }
    last = waiter
  }

  /// The first waiter, taken off; it is the caller's to wake. Places of a `select` that somebody has claimed already are
  /// thrown away on the way.
  @inlinable
  @inline(__always)
  public mutating func takeFirst() -> UnsafeMutablePointer<Waiter>? {
    while let waiter = first {
      first = waiter.pointee.next
      if let first { first.pointee.previous = nil } else { last = nil }
      waiter.pointee.isQueued = false
      if !waiter.pointee.isInSelect || SelectFrame.claim(waiter) { return waiter }
    }
    return nil
  }

  /// Takes `waiter` out if it is still queued: a `select` that was claimed elsewhere.
  public mutating func remove(_ waiter: UnsafeMutablePointer<Waiter>) {
    if !waiter.pointee.isQueued { return }
    let (next, previous) = (waiter.pointee.next, waiter.pointee.previous)
    if let previous { previous.pointee.next = next } else { first = next }
    if let next { next.pointee.previous = previous } else { last = previous }
    waiter.pointee.isQueued = false
  }
}
