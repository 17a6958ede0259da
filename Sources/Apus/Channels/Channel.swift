public import ApusRuntime

/// A queue between goroutines with room for `capacity` elements (Go's `chan`). With capacity 0 a send waits until a
/// receiver takes the element: both meet.
///
/// Elements move: what was sent belongs to the receiver alone, so they need not be `Sendable`. Waiting senders and
/// receivers are served first come, first served. What is left in a channel that nobody refers to any more is destroyed
/// with it.
public final class Channel<Element: ~Copyable>: @unchecked Sendable {
  // Unchecked: everything behind `state` is under its lock.
  @usableFromInline let state: UnsafeMutablePointer<ChannelState>
  /// A ring of `capacity` elements, of which `count` from `head` on are there.
  @usableFromInline let buffer: UnsafeMutablePointer<Element>

  /// Makes an open channel. A negative `capacity`, or one of more than a terabyte, ends the process with
  /// `panic: makechan: size out of range`.
  @inlinable
  public init(capacity: Int = 0) {
    // Elements without a size, as those of a `Channel<Void>`, take no room.
    let size = MemoryLayout<Element>.size == 0 ? 0 : MemoryLayout<Element>.stride
    let (bytes, overflows) = capacity.multipliedReportingOverflow(by: size)
    if capacity < 0 || overflows || bytes > 1 << 40 { Fatal.panic("makechan: size out of range") }
    state = .allocate(capacity: 1)
    state.initialize(to: ChannelState(capacity: capacity))
    buffer = .allocate(capacity: size == 0 ? 0 : capacity)
  }

  @inlinable
  deinit {
    // Nobody waits: a goroutine that waits holds a reference.
    if let timer = state.pointee.timer { TimerChannel.dispose(timer) }
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
      if let waiter = state.pointee.receivers.takeFirst() {
        waiter.pointee.element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self).initialize(to: element)
        waiter.pointee.succeeded = true
        let g = waiter.pointee.g
        Park.unlock(state.lockAddress, on: m, readying: g)
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
    guard HandOver<Element>.fits else {
      state.pointee.lock.unlock(m)
      sendLarge(element)
      return
    }
    let g = m.currentG
    let place = HandOver<Element>(slot: g.slotAddress)
    place.address.initialize(to: element)
    state.pointee.wait(in: &state.pointee.senders, g.ownWaiter, place.address)
    Park.park(.channelSend, unlocking: state.lockAddress)
    if !g.ownWaiter.pointee.succeeded { Fatal.panic("send on closed channel") }
  }

  /// A send that may have to wait, of an element that needs memory of its own meanwhile. Allocated without the lock, so
  /// everything is looked at again.
  @inlinable
  @inline(never)
  func sendLarge(_ element: consuming Element) {
    let m = currentM()
    let place = HandOver<Element>(slot: m.currentG.slotAddress)
    place.address.initialize(to: element)
    state.pointee.lock.lock(m)
    var woken: GRef?
    let waiter = m.currentG.ownWaiter
    if sendLocked(from: place.address, waking: &woken) {
      Park.unlock(state.lockAddress, on: m, readying: woken)
    } else {
      state.pointee.wait(in: &state.pointee.senders, waiter, place.address)
      Park.park(.channelSend, unlocking: state.lockAddress)
      if !waiter.pointee.succeeded { Fatal.panic("send on closed channel") }
    }
    place.dispose()
  }

  /// Moves the element out of `place` if that can be done without waiting. The channel is locked and stays so, unless it
  /// is closed: then the process ends.
  @inlinable
  @inline(__always)
  func sendLocked(from place: UnsafeMutablePointer<Element>, waking woken: inout GRef?) -> Bool {
    if state.pointee.isClosed {
      state.pointee.lock.unlock(currentM())
      Fatal.panic("send on closed channel")
    }
    if let waiter = state.pointee.receivers.takeFirst() {
      waiter.pointee.element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self)
        .moveInitialize(from: place, count: 1)
      waiter.pointee.succeeded = true
      woken = waiter.pointee.g
      return true
    }
    if state.pointee.count == state.pointee.capacity { return false }
    (buffer + state.pointee.position(state.pointee.count)).moveInitialize(from: place, count: 1)
    state.pointee.count += 1
    return true
  }

  /// The next element; waits for one. nil when the channel is closed and its buffer empty.
  @inlinable
  public func receive() -> sending Element? {
    let m = currentM()
    let state = state
    state.pointee.lock.lock(m)
    var woken: GRef?
    if let place = receiveLocked(waking: &woken) {
      nonisolated(unsafe) let element = place.move()
      finishReceive(waking: &woken)
      Park.unlock(state.lockAddress, on: m, readying: woken)
      return element
    }
    return receiveWaiting(m)
  }

  /// The place of the next element, nil when there is none; the caller moves it out and then calls `finishReceive`. The
  /// channel is locked.
  @inlinable
  @inline(__always)
  func receiveLocked(waking woken: inout GRef?) -> UnsafeMutablePointer<Element>? {
    if state.pointee.count > 0 { return buffer + state.pointee.head }
    guard let waiter = state.pointee.senders.takeFirst() else {
      if state.pointee.timer == nil { return nil }
      return TimerChannel.take(state)?.assumingMemoryBound(to: Element.self)
    }
    waiter.pointee.succeeded = true
    woken = waiter.pointee.g
    return waiter.pointee.element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self)
  }

  /// After the element was moved out: the buffer goes on, and the first waiting sender's element takes the free place.
  @inlinable
  @inline(__always)
  func finishReceive(waking woken: inout GRef?) {
    if state.pointee.count == 0 { return }
    state.pointee.head = state.pointee.position(1)
    guard let waiter = state.pointee.senders.takeFirst() else {
      state.pointee.count -= 1
      return
    }
    (buffer + state.pointee.position(state.pointee.count - 1)).moveInitialize(
      from: waiter.pointee.element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self), count: 1)
    waiter.pointee.succeeded = true
    woken = waiter.pointee.g
  }

  /// The channel is locked and has nothing.
  @inlinable
  @inline(never)
  func receiveWaiting(_ m: MRef) -> sending Element? {
    if state.pointee.isClosed {
      state.pointee.lock.unlock(m)
      return nil
    }
    guard HandOver<Element>.fits else {
      state.pointee.lock.unlock(m)
      return receiveLarge()
    }
    let g = m.currentG
    let place = HandOver<Element>(slot: g.slotAddress)
    state.pointee.wait(in: &state.pointee.receivers, g.ownWaiter, place.address)
    if state.pointee.timer != nil { TimerChannel.block(state, on: m) }
    Park.park(.channelReceive, unlocking: state.lockAddress)
    if !g.ownWaiter.pointee.succeeded { return nil }
    nonisolated(unsafe) let element = place.address.move()
    return element
  }

  /// A receive that may have to wait, of an element that needs memory of its own meanwhile.
  @inlinable
  @inline(never)
  func receiveLarge() -> sending Element? {
    let m = currentM()
    let place = HandOver<Element>(slot: m.currentG.slotAddress)
    defer { place.dispose() }
    state.pointee.lock.lock(m)
    var woken: GRef?
    if let source = receiveLocked(waking: &woken) {
      place.address.moveInitialize(from: source, count: 1)
      finishReceive(waking: &woken)
      Park.unlock(state.lockAddress, on: m, readying: woken)
    } else {
      if state.pointee.isClosed {
        state.pointee.lock.unlock(m)
        return nil
      }
      let waiter = m.currentG.ownWaiter
      state.pointee.wait(in: &state.pointee.receivers, waiter, place.address)
      Park.park(.channelReceive, unlocking: state.lockAddress)
      if !waiter.pointee.succeeded { return nil }
    }
    nonisolated(unsafe) let element = place.address.move()
    return element
  }

  /// Sends `element` if that can be done at once: nil then, else it comes back. On a closed channel it ends the process, as
  /// `send` does. Costs no lock when the channel is full.
  @inlinable
  public func trySend(_ element: consuming sending Element) -> sending Element? {
    var element = Optional(element)
    if !state.peekSendable {
      nonisolated(unsafe) let back = element.take()
      return back
    }
    let m = currentM()
    state.pointee.lock.lock(m)
    var woken: GRef?
    let sent = withUnsafeMutablePointer(to: &element) { optional in
      // The payload of an Optional lies at its start.
      let place = UnsafeMutableRawPointer(optional).assumingMemoryBound(to: Element.self)
      return sendLocked(from: place, waking: &woken)
    }
    Park.unlock(state.lockAddress, on: m, readying: woken)
    if sent {
      withUnsafeMutablePointer(to: &element) { $0.initialize(to: nil) }
      return nil
    }
    nonisolated(unsafe) let back = element.take()
    return back
  }

  /// Receives if that can be done at once. Costs no lock when there is nothing.
  @inlinable
  public func tryReceive() -> sending Received<Element> {
    if !state.peekReceivable { return .empty }
    let m = currentM()
    state.pointee.lock.lock(m)
    var woken: GRef?
    guard let place = receiveLocked(waking: &woken) else {
      let isClosed = state.pointee.isClosed
      state.pointee.lock.unlock(m)
      return isClosed ? .closed : .empty
    }
    nonisolated(unsafe) let element = place.move()
    finishReceive(waking: &woken)
    Park.unlock(state.lockAddress, on: m, readying: woken)
    return .element(element)
  }

  /// Closes the channel: what is buffered can still be received, then receivers get nil; sending is fatal. Closing twice
  /// ends the process with `panic: close of closed channel`; so does closing the channel of a context or a timer, which
  /// is not the program's, with `panic: close of receive-only channel`.
  public func close() {
    if state.pointee.isReserved { Fatal.panic("close of receive-only channel") }
    closeReserved()
  }

  /// Closes a channel that only the runtime closes, once.
  func closeReserved() {
    if !state.close() { Fatal.panic("close of closed channel") }
  }

  /// Receives until the channel is closed and drained, or `body` throws.
  @inlinable
  public func forEach<E: Error>(_ body: (consuming sending Element) throws(E) -> Void) throws(E) {
    while let element = receive() { try body(element) }
  }
}

/// A channel is a sequence of what is received from it: `for job in jobs { … }` ends when it is closed and drained. Several
/// loops over one channel share its elements.
extension Channel: Sequence, IteratorProtocol where Element: Copyable {
  @inlinable
  public func next() -> Element? { receive() }

  /// Receives until the channel is closed and drained. A closure that says nothing of its type would be
  /// `Sequence.forEach`'s otherwise, whose elements cannot be sent on.
  @inlinable
  public func forEach(_ body: (consuming sending Element) -> Void) { while let element = receive() { body(element) } }
}
