import Synchronization

/// A queue of waiters without elements, each with a number: what a semaphore and a condition wait in. The lock of whatever
/// holds it protects it.
///
/// The ends are atomic, with relaxed accesses that cost what plain ones do, so that the queue is a constant part of what
/// it is in: no check for exclusive access on the way to it.
struct NumberedWaiters: ~Copyable, @unchecked Sendable {
  // Unchecked: the waiters are under the holder's lock.
  private let firstWaiter = Atomic<UnsafeMutablePointer<Waiter>?>(nil)
  private let lastWaiter = Atomic<UnsafeMutablePointer<Waiter>?>(nil)

  @inline(__always)
  var first: UnsafeMutablePointer<Waiter>? { firstWaiter.load(ordering: .relaxed) }

  var last: UnsafeMutablePointer<Waiter>? { lastWaiter.load(ordering: .relaxed) }

  var count: Int {
    var count = 0
    var next = first
    while let waiter = next {
      count += 1
      next = waiter.pointee.next
    }
    return count
  }

  /// Puts `waiter` at the end.
  func append(_ waiter: UnsafeMutablePointer<Waiter>, _ number: Int) {
    waiter.pointee.number = number
    waiter.pointee.next = nil
    if let last = lastWaiter.load(ordering: .relaxed) {
      last.pointee.next = waiter
    } else {
      firstWaiter.store(waiter, ordering: .relaxed)
    }
    lastWaiter.store(waiter, ordering: .relaxed)
  }

  /// Puts `waiter` before all others.
  func prepend(_ waiter: UnsafeMutablePointer<Waiter>, _ number: Int) {
    waiter.pointee.number = number
    let next = first
    waiter.pointee.next = next
    firstWaiter.store(waiter, ordering: .relaxed)
    if next == nil { lastWaiter.store(waiter, ordering: .relaxed) }
  }

  /// Takes `waiter` out, which stands behind `previous`, or first where that is nil.
  func remove(_ waiter: UnsafeMutablePointer<Waiter>, after previous: UnsafeMutablePointer<Waiter>?) {
    let next = waiter.pointee.next
    if let previous { previous.pointee.next = next } else { firstWaiter.store(next, ordering: .relaxed) }
    if next == nil { lastWaiter.store(previous, ordering: .relaxed) }
  }

  /// Takes all out: the first, and the others by their links, each of which is to be read before its waiter is made ready.
  func removeAll() -> UnsafeMutablePointer<Waiter>? {
    lastWaiter.store(nil, ordering: .relaxed)
    return firstWaiter.exchange(nil, ordering: .relaxed)
  }
}

extension Waiter {
  /// What a waiter without an element says of itself: the units that it wants of a semaphore, or its ticket. It lies
  /// where the element's address would.
  var number: Int {
    get { Int(bitPattern: element) }
    set { element = UnsafeMutableRawPointer(bitPattern: newValue) }
  }
}
