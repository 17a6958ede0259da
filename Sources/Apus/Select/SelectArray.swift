import ApusRuntime

/// Receives from whichever of `channels` has an element first, or is closed: its index and the element, nil when it is
/// closed and drained. A uniformly random one of those that are ready. An empty array waits for ever.
///
/// The same as `select` for any number of channels, but it allocates when it has to wait.
public func select<Element>(receivingAny channels: [Channel<Element>]) -> (index: Int, element: Element?) {
  if channels.isEmpty { selectForever() }
  let m = currentM()
  while let index = pickReady(channels, m) {
    switch channels[index].tryReceive() {
    case .element(let element): return (index, element)
    case .closed: return (index, nil)
    case .empty: break
    }
  }
  var operations = channels.map(\.receiving)
  let frame = UnsafeMutablePointer<SelectFrame>.take(channels.count, for: m.currentG)
  for index in channels.indices {
    operations[index]._prepare(frame, index)
    frame.add(channels[index].state.lockAddress)
  }
  frame.lockAll(m)
  var woken: GRef?
  // One that does not proceed had nothing but senders whose selects were claimed elsewhere, and has none now.
  while let index = pickReady(channels, m) {
    guard operations[index]._perform(waking: &woken) else { continue }
    frame.unlockAll(m, readying: woken)
    for index in channels.indices { operations[index]._release(frame, index) }
    frame.giveBack()
    return (index, operations[index]._takeOutput())
  }
  for index in channels.indices { operations[index]._enqueue(frame, index) }
  Park.park(.select, unlockingAll: frame)
  let fired = Int(frame.pointee.fired)
  for index in channels.indices { operations[index]._dequeue(frame, index, fired: index == fired) }
  for index in channels.indices { operations[index]._settle(frame, index, fired: index == fired) }
  frame.giveBack()
  return (fired, operations[fired]._takeOutput())
}

/// One of those that look ready, each as likely as the others; nil when none does. Allocates nothing: the channels may be
/// locked.
private func pickReady<Element>(_ channels: [Channel<Element>], _ m: MRef) -> Int? {
  var ready = 0
  for index in channels.indices where channels[index].state.peekReceivable { ready += 1 }
  if ready == 0 { return nil }
  var nth = Int((UInt64(m.randomBits()) &* UInt64(ready)) >> 32)
  var last: Int?
  for index in channels.indices where channels[index].state.peekReceivable {
    last = index
    if nth == 0 { break }
    nth -= 1
  }
  // Without the locks fewer may be ready by now.
  return last
}
