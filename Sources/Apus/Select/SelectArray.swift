import ApusRuntime

/// Receives from whichever of `channels` has an element first, or is closed: its index and the element, nil when it is
/// closed and drained. A uniformly random one of those that are ready. An empty array waits for ever.
///
/// The same as `select` for any number of channels; over more than eight it allocates.
public func select<Element>(receivingAny channels: [Channel<Element>]) -> (index: Int, element: Element?) {
  if channels.isEmpty { selectForever() }
  let m = currentM()
  if let found = receiveReady(channels, m) { return found }
  var operations = channels.map(\.receiving)
  let frame = UnsafeMutablePointer<SelectFrame>.take(channels.count, for: m.currentG)
  for index in channels.indices {
    operations[index]._prepare(frame, index)
    frame.add(channels[index].state.lockAddress)
  }
  frame.lockAll(m)
  var woken: GRef?
  let start = Int(m.randomBits()) % channels.count
  for offset in channels.indices {
    let index = (start + offset) % channels.count
    guard operations[index]._perform(waking: &woken) else { continue }
    frame.unlockAll(m, readying: woken)
    for index in channels.indices { operations[index]._release(frame, index) }
    frame.giveBack()
    return (index, operations[index]._takeOutput())
  }
  for index in channels.indices { operations[index]._enqueue(frame, index) }
  Park.park(.select, unlockingAll: frame)
  let resumed = currentM()
  frame.lockAll(resumed)
  for index in channels.indices { operations[index]._dequeue(frame, index) }
  frame.unlockAll(resumed)
  let fired = Int(frame.pointee.fired)
  for index in channels.indices { operations[index]._settle(frame, index, fired: index == fired) }
  frame.giveBack()
  return (fired, operations[fired]._takeOutput())
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
