/// A queue of waiters, first come first served (Go's `waitq`). The lock of whatever holds it protects it.
public struct WaitQueue {
  @usableFromInline var first: UnsafeMutablePointer<Waiter>?
  @usableFromInline var last: UnsafeMutablePointer<Waiter>?

  @inlinable
  public init() {}

  @inlinable
  @inline(__always)
  public var isEmpty: Bool { first == nil }

  @inlinable
  @inline(__always)
  public mutating func append(_ waiter: UnsafeMutablePointer<Waiter>) {
    waiter.pointee.next = nil
    waiter.pointee.previous = last
    if let last { last.pointee.next = waiter } else { first = waiter }
    last = waiter
  }

  @inlinable
  @inline(__always)
  public mutating func removeFirst() -> UnsafeMutablePointer<Waiter>? {
    guard let waiter = first else { return nil }
    first = waiter.pointee.next
    if let first { first.pointee.previous = nil } else { last = nil }
    waiter.pointee.next = nil
    return waiter
  }
}
