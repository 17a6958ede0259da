import CApus
import Synchronization

/// Those who wait to be notified (Go's `notifyList`), first come first served: what a condition variable is made of.
///
/// Between the moment at which a goroutine decides to wait, under its mutex, and the moment at which it is parked, it
/// releases that mutex, and a notification may come. So it takes a *ticket* first, and notifications are counted against
/// tickets: ticket n is notified once `notified` is above n, whether its owner has parked already or not. A count of
/// units would not do: a goroutine that decides to wait after the notification could take the unit.
public struct NotifyList: ~Copyable, @unchecked Sendable {
  // Unchecked: the waiters are under `lock`.
  /// The next ticket. Raised without the lock; 64 bits do not wrap.
  private let tickets = Atomic<Int>(0)
  /// Tickets below it are notified. Written under `lock`.
  private let notified = Atomic<Int>(0)
  private let lock = RuntimeLock(.semaphore)
  /// Under `lock`; the number of each is its ticket.
  private let waiters = NumberedWaiters()

  /// A list on which nobody waits.
  public init() {}

  /// A ticket for one `wait`, which must follow.
  ///
  /// Sequentially consistent, as the comparisons in `notifyOne` and `notifyAll` are: whoever notifies after it has seen, under
  /// the mutex, what this goroutine saw, sees the ticket too.
  public func takeTicket() -> Int {
    tickets.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
  }

  /// Parks until `ticket` is notified; returns at once when it is.
  public func wait(_ ticket: Int, _ reason: WaitReason) {
    let m = currentM()
    lock.lock(m)
    if ticket < notified.load(ordering: .relaxed) {
      lock.unlock(m)
      return
    }
    waiters.append(m.currentG.ownWaiter, ticket)
    Park.park(reason, unlocking: lock.pointer)
  }

  /// Notifies the oldest ticket that is not; does nothing where there is none.
  public func notifyOne() {
    if isIdle { return }
    let m = currentM()
    lock.lock(m)
    let ticket = notified.load(ordering: .relaxed)
    if ticket == tickets.load(ordering: .sequentiallyConsistent) {
      lock.unlock(m)
      return
    }
    notified.store(ticket &+ 1, ordering: .sequentiallyConsistent)
    // The owner may not be in the queue yet: then it will see the count. The queue is in the order of parking, which is
    // nearly that of the tickets, so this looks at the first few.
    var previous: UnsafeMutablePointer<Waiter>?
    var found = waiters.first
    while let waiter = found, waiter.pointee.number != ticket {
      previous = waiter
      found = waiter.pointee.next
    }
    if let found { waiters.remove(found, after: previous) }
    Park.unlock(lock.pointer, on: m, readying: found?.pointee.g)
  }

  /// Notifies every ticket that was taken.
  public func notifyAll() {
    if isIdle { return }
    let m = currentM()
    lock.lock(m)
    var next = waiters.removeAll()
    // Whoever has a ticket and is not in the queue yet will find itself notified.
    notified.store(tickets.load(ordering: .sequentiallyConsistent), ordering: .sequentiallyConsistent)
    lock.unlockKeepingSection(m)
    while let waiter = next {
      // Once it is ready it may wait elsewhere, by the same record.
      next = waiter.pointee.next
      Park.ready(waiter.pointee.g, on: m, othersFollow: next != nil)
    }
    releaseM(m)
  }

  /// True when every ticket is notified.
  private var isIdle: Bool { ticketCount == notifiedCount }

  /// How many tickets were taken, and how many of them notified, those first that were taken first.
  var ticketCount: Int { tickets.load(ordering: .sequentiallyConsistent) }
  var notifiedCount: Int { notified.load(ordering: .sequentiallyConsistent) }
}
