public import ApusRuntime

/// A queue between goroutines with room for `capacity` elements (Go's `chan`). With capacity 0 a send waits until a
/// receiver takes the element: both meet.
///
/// Elements move: what was sent belongs to the receiver alone, so they need not be `Sendable`. Waiting senders and
/// receivers are served first come, first served.
public final class Channel<Element: ~Copyable>: @unchecked Sendable {
  // Unchecked: everything behind `state` is under its lock.
  @usableFromInline let state: UnsafeMutablePointer<ChannelState>
  /// A ring of `capacity` elements, of which `count` from `head` on are there.
  @usableFromInline let buffer: UnsafeMutablePointer<Element>

  /// Makes an open channel. A negative `capacity` ends the process with `panic: makechan: size out of range`.
  @inlinable
  public init(capacity: Int = 0) {
    if capacity < 0 || capacity > Int.max / max(MemoryLayout<Element>.stride, 1) / 2 {
      Fatal.panic("makechan: size out of range")
    }
    state = .allocate(capacity: 1)
    state.initialize(to: ChannelState(capacity: capacity))
    buffer = .allocate(capacity: capacity)
  }

  deinit {
    // Nobody waits: a goroutine that waits holds a reference.
    for i in 0..<state.pointee.count {
      (buffer + state.pointee.position(i)).deinitialize(count: 1)
    }
    buffer.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// How many elements are buffered; old by the time it is known.
  public var count: Int { state.lockedCount }

  /// How many elements fit.
  @inlinable
  public var capacity: Int { state.pointee.capacity }

  /// Whether `close` was called.
  public var isClosed: Bool { state.lockedIsClosed }

  /// Gives `element` to a receiver, or puts it into the buffer, or waits until either can be done. On a closed channel,
  /// also one that is closed meanwhile, it ends the process with `panic: send on closed channel`.
  @inlinable
  public func send(_ element: consuming sending Element) {
    let m = currentM()
    let state = state
    state.pointee.lock.lock(m)
    if !state.pointee.isClosed {
      if let waiter = state.pointee.receivers.removeFirst() {
        waiter.pointee.element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self).initialize(to: element)
        waiter.pointee.succeeded = true
        let g = waiter.pointee.g
        state.pointee.lock.unlock(m)
        Park.ready(g, on: m)
        return
      }
      if state.pointee.count < state.pointee.capacity {
        (buffer + state.pointee.position(state.pointee.count)).initialize(to: element)
        state.pointee.count += 1
        state.pointee.lock.unlock(m)
        return
      }
    }
    sendWaiting(element, m)
  }

  /// The channel is locked, and closed or full.
  @inlinable
  @inline(never)
  func sendWaiting(_ element: consuming Element, _ m: MRef) {
    if state.pointee.isClosed {
      state.pointee.lock.unlock(m)
      Fatal.panic("send on closed channel")
    }
    let place = HandOver<Element>(m.currentG)
    place.address.initialize(to: element)
    state.pointee.wait(in: &state.pointee.senders, place.address, m.currentG)
    Park.park(.channelSend, unlocking: state.lockAddress)
    let sent = place.waiter.pointee.succeeded
    place.dispose()
    if !sent { Fatal.panic("send on closed channel") }
  }

  /// The next element; waits for one. nil when the channel is closed and its buffer empty.
  @inlinable
  public func receive() -> sending Element? {
    let m = currentM()
    let state = state
    state.pointee.lock.lock(m)
    if state.pointee.count > 0 {
      nonisolated(unsafe) let element = (buffer + state.pointee.head).move()
      state.pointee.head = state.pointee.position(1)
      guard let waiter = state.pointee.senders.removeFirst() else {
        state.pointee.count -= 1
        state.pointee.lock.unlock(m)
        return element
      }
      // The buffer was full: the first waiting sender's element takes the place at its end.
      (buffer + state.pointee.position(state.pointee.count - 1)).moveInitialize(
        from: waiter.pointee.element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self), count: 1)
      waiter.pointee.succeeded = true
      let g = waiter.pointee.g
      state.pointee.lock.unlock(m)
      Park.ready(g, on: m)
      return element
    }
    if let waiter = state.pointee.senders.removeFirst() {
      nonisolated(unsafe) let element = waiter.pointee.element.unsafelyUnwrapped
        .assumingMemoryBound(to: Element.self).move()
      waiter.pointee.succeeded = true
      let g = waiter.pointee.g
      state.pointee.lock.unlock(m)
      Park.ready(g, on: m)
      return element
    }
    return receiveWaiting(m)
  }

  /// The channel is locked and has nothing.
  @inlinable
  @inline(never)
  func receiveWaiting(_ m: MRef) -> sending Element? {
    if state.pointee.isClosed {
      state.pointee.lock.unlock(m)
      return nil
    }
    let place = HandOver<Element>(m.currentG)
    state.pointee.wait(in: &state.pointee.receivers, place.address, m.currentG)
    Park.park(.channelReceive, unlocking: state.lockAddress)
    guard place.waiter.pointee.succeeded else {
      place.dispose()
      return nil
    }
    nonisolated(unsafe) let element = place.address.move()
    place.dispose()
    return element
  }

  /// Closes the channel: what is buffered can still be received, then receivers get nil; sending is fatal. Closing twice
  /// ends the process with `panic: close of closed channel`.
  public func close() {
    if !state.close() { Fatal.panic("close of closed channel") }
  }

  /// Receives until the channel is closed and drained, or `body` throws.
  @inlinable
  public func forEach<E: Error>(_ body: (consuming sending Element) throws(E) -> Void) throws(E) {
    while let element = receive() { try body(element) }
  }
}

/// What a channel is apart from its elements.
@usableFromInline
struct ChannelState: ~Copyable {
  @usableFromInline var lock = RuntimeLock(.channel)
  @usableFromInline let capacity: Int
  // Under lock.
  @usableFromInline var head = 0
  @usableFromInline var count = 0
  @usableFromInline var isClosed = false
  @usableFromInline var receivers = WaitQueue()
  @usableFromInline var senders = WaitQueue()

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

  /// Puts the current goroutine into `queue`, with the element's place.
  @inlinable
  @inline(__always)
  func wait(in queue: inout WaitQueue, _ place: UnsafeMutableRawPointer, _ g: GRef) {
    let waiter = g.ownWaiter
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
    // Nobody can join a closed channel's queues: they are taken as a whole, and the lock is held for a moment only.
    var receivers = pointee.receivers
    var senders = pointee.senders
    pointee.receivers = WaitQueue()
    pointee.senders = WaitQueue()
    pointee.lock.unlock(m)
    while let waiter = receivers.removeFirst() { Park.ready(waiter.pointee.g, on: m) }
    while let waiter = senders.removeFirst() { Park.ready(waiter.pointee.g, on: m) }
    return true
  }
}

/// Where an element lies while its goroutine waits: in the goroutine's record when it fits, else in memory of its own.
@usableFromInline
struct HandOver<Element: ~Copyable> {
  @usableFromInline let address: UnsafeMutablePointer<Element>
  @usableFromInline let waiter: UnsafeMutablePointer<Waiter>

  @inlinable
  @inline(__always)
  static var fits: Bool {
    MemoryLayout<Element>.size <= SlotSize.bytes && MemoryLayout<Element>.alignment <= SlotSize.alignment
  }

  @inlinable
  @inline(__always)
  init(_ g: GRef) {
    waiter = g.ownWaiter
    address = Self.fits ? g.slotAddress.bindMemory(to: Element.self, capacity: 1) : .allocate(capacity: 1)
  }

  /// Releases the memory; the element has been moved out.
  @inlinable
  @inline(__always)
  func dispose() {
    if !Self.fits { address.deallocate() }
  }
}
