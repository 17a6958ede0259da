import ApusRuntime

/// Receives from whichever of `channels` has an element first, or is closed: its index and the element, nil when it is
/// closed and drained. A uniformly random one of those that are ready. An empty array waits for ever.
///
/// The same as `select` for any number of channels; over more than eight it allocates.
public func select<Element>(receivingAny channels: [Channel<Element>]) -> (index: Int, element: Element?) {
  if channels.isEmpty { selectForever() }
  let m = currentM()
  if let found = receiveReady(channels, m) { return found }
  let frame = UnsafeMutablePointer<SelectFrame>.take(channels.count, for: m.currentG)
  for (index, channel) in channels.enumerated() {
    SelectPlace<Element>.prepare(frame, index)
    frame.add(channel.state.lockAddress)
  }
  frame.lockAll(m)
  var result: (index: Int, element: Element?)?
  var woken: GRef?
  let start = Int(m.randomBits()) % channels.count
  for offset in 0..<channels.count where result == nil {
    let index = (start + offset) % channels.count
    let state = channels[index].state
    if let place = channels[index].receiveLocked(waking: &woken) {
      let element = place.move()
      channels[index].finishReceive(waking: &woken)
      result = (index, element)
    } else if state.pointee.isClosed {
      result = (index, nil)
    }
  }
  if result == nil {
    for (index, channel) in channels.enumerated() {
      let waiter = frame.pointee.waiters + index
      channel.state.pointee.wait(in: &channel.state.pointee.receivers, waiter, waiter.pointee.element.unsafelyUnwrapped)
    }
    Park.park(.select, unlockingAll: frame)
    let resumed = currentM()
    frame.lockAll(resumed)
    for (index, channel) in channels.enumerated() {
      channel.state.pointee.receivers.remove(frame.pointee.waiters + index)
    }
    frame.unlockAll(resumed)
    let fired = Int(frame.pointee.fired)
    let succeeded = frame.pointee.waiters[fired].succeeded
    result = (fired, succeeded ? SelectPlace<Element>.at(frame, fired).move() : nil)
  } else {
    frame.unlockAll(m)
    if let woken { Park.ready(woken, on: m) }
  }
  for index in channels.indices { SelectPlace<Element>.release(frame, index) }
  frame.giveBack()
  return result.unsafelyUnwrapped
}

/// One of those that look ready, each as likely as the others; nil when none is.
private func receiveReady<Element>(_ channels: [Channel<Element>], _ m: MRef) -> (index: Int, element: Element?)? {
  var ready = channels.indices.filter { channels[$0].state.peekReceivable }
  while !ready.isEmpty {
    let index = ready.remove(at: Int(m.randomBits()) % ready.count)
    switch channels[index].tryReceive() {
    case .element(let element): return (index, element)
    case .closed: return (index, nil)
    case .empty: break
    }
  }
  return nil
}
