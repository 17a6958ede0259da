public import ApusRuntime
import CApus

/// What a channel is apart from its elements (Go's `hchan`).
public struct ChannelState: ~Copyable {
  @usableFromInline var lock = RuntimeLock(.channel)
  @usableFromInline let capacity: Int
  // Under lock; `peekReceivable` and `peekSendable` read single words of it without.
  @usableFromInline var count = 0
  @usableFromInline var head = 0
  @usableFromInline var receivers = WaitQueue()
  @usableFromInline var senders = WaitQueue()
  @usableFromInline var isClosed = false
  /// A context's or a timer's channel, which a program only receives from. Set before anybody else has the channel.
  var isReserved = false
  /// What feeds the channel of a timer or ticker (TimerChannel.swift); written once, before anybody else knows it.
  @usableFromInline var timer: UnsafeMutablePointer<ChannelTimer>?

  @usableFromInline
  init(capacity: Int) {
    self.capacity = capacity
  }

  /// The buffer index of the `offset`th element; `offset` at most the capacity.
  @inlinable
  @inline(__always)
  func position(_ offset: Int) -> Int {
    let index = head &+ offset
    return index >= capacity ? index &- capacity : index
  }

  /// Puts `waiter` into `queue`, with the element's place.
  @inlinable
  @inline(__always)
  func wait(
    in queue: inout WaitQueue, _ waiter: UnsafeMutablePointer<Waiter>, _ place: UnsafeMutableRawPointer
  ) {
    waiter.pointee.element = place
    waiter.pointee.succeeded = false
    queue.append(waiter)
  }
}

extension UnsafeMutablePointer where Pointee == ChannelState {
  @inlinable
  @inline(__always)
  var lockAddress: UnsafeMutablePointer<RuntimeLock> {
    withUnsafeMutablePointer(to: &pointee.lock) { $0 }
  }

  /// Whether a receive would not have to wait, as it looks without the lock. The words are read whole but one after the
  /// other, so a yes may be false, which is found out under the lock. A no was true at one moment meanwhile, which is all
  /// that a non-blocking receive promises: that at which `first` was read as nil, or `count` as 0 where there is a buffer
  /// (nobody waits to send into an empty one). At that moment the channel was not closed either, since it was not
  /// afterwards. Hence `isClosed` is read after the others, and the loads acquire: a channel that is closed first and then
  /// drained does not look empty and open.
  @inlinable
  @inline(__always)
  var peekReceivable: Bool {
    withUnsafeMutablePointer(to: &pointee.count) { apus_peek_word($0) } != 0
      || withUnsafeMutablePointer(to: &pointee.senders.first) { apus_peek_word($0) } != 0
      || withUnsafeMutablePointer(to: &pointee.isClosed) { apus_peek_byte($0) } != 0
      || pointee.timer != nil && TimerChannel.looksReady(self)
  }

  /// The same for a send. On a closed channel it is "possible": it is fatal at once.
  @inlinable
  @inline(__always)
  var peekSendable: Bool {
    withUnsafeMutablePointer(to: &pointee.count) { apus_peek_word($0) } < UInt(pointee.capacity)
      || withUnsafeMutablePointer(to: &pointee.receivers.first) { apus_peek_word($0) } != 0
      || withUnsafeMutablePointer(to: &pointee.isClosed) { apus_peek_byte($0) } != 0
  }

  var lockedCount: Int {
    let m = currentM()
    pointee.lock.lock(m)
    defer { pointee.lock.unlock(m) }
    return pointee.count
  }

  var lockedIsClosed: Bool {
    let m = currentM()
    pointee.lock.lock(m)
    defer { pointee.lock.unlock(m) }
    return pointee.isClosed
  }

  /// Marks the channel closed and wakes everybody; false when it was closed already.
  func close() -> Bool {
    let m = currentM()
    pointee.lock.lock(m)
    if pointee.isClosed {
      pointee.lock.unlock(m)
      return false
    }
    pointee.isClosed = true
    // Nobody joins a closed channel's queues. The waiters are claimed under the lock, where a `select` that was woken
    // elsewhere may come to take its places back, and woken after it.
    var woken = GChain()
    while let waiter = pointee.receivers.takeFirst() { woken.append(waiter.pointee.g) }
    while let waiter = pointee.senders.takeFirst() { woken.append(waiter.pointee.g) }
    pointee.lock.unlockKeepingSection(m)
    woken.readyAll(on: m)
    releaseM(m)
    return true
  }
}
