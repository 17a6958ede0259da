public import ApusRuntime

/// The operations of one `select`, each by its place.
@usableFromInline
protocol SelectOperands: ~Copyable {
  static var count: Int { get }
  mutating func describe(_ plan: inout SelectPlan, _ index: Int)
  mutating func perform(_ index: Int, waking woken: inout GRef?) -> Bool
  mutating func prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int)
  mutating func enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int)
  mutating func dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Int)
  mutating func settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Int)
  mutating func release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int)
}

/// One operation and those after it.
@usableFromInline
struct SelectList<Head: SelectOperation & ~Copyable, Tail: SelectOperands & ~Copyable>: SelectOperands, ~Copyable {
  @usableFromInline var head: Head
  @usableFromInline var tail: Tail

  @inlinable
  init(_ head: consuming Head, _ tail: consuming Tail) {
    self.head = head
    self.tail = tail
  }

  @inlinable static var count: Int { Tail.count + 1 }

  @inlinable
  @inline(__always)
  mutating func describe(_ plan: inout SelectPlan, _ index: Int) {
    plan.add(index, head._kind)
    tail.describe(&plan, index &+ 1)
  }

  @inlinable
  @inline(__always)
  mutating func perform(_ index: Int, waking woken: inout GRef?) -> Bool {
    index == 0 ? head._perform(waking: &woken) : tail.perform(index &- 1, waking: &woken)
  }

  @inlinable
  mutating func prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    head._prepare(frame, index)
    tail.prepare(frame, index &+ 1)
  }

  @inlinable
  mutating func enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    head._enqueue(frame, index)
    tail.enqueue(frame, index &+ 1)
  }

  @inlinable
  mutating func dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Int) {
    head._dequeue(frame, index, fired: fired == index)
    tail.dequeue(frame, index &+ 1, fired: fired)
  }

  @inlinable
  mutating func settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Int) {
    head._settle(frame, index, fired: fired == index)
    tail.settle(frame, index &+ 1, fired: fired)
  }

  @inlinable
  mutating func release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    head._release(frame, index)
    tail.release(frame, index &+ 1)
  }
}

/// The end of the list.
@usableFromInline
struct SelectEnd: SelectOperands, ~Copyable {
  @inlinable init() {}
  @inlinable static var count: Int { 0 }
  @inlinable @inline(__always) mutating func describe(_ plan: inout SelectPlan, _ index: Int) {}
  @inlinable @inline(__always) mutating func perform(_ index: Int, waking woken: inout GRef?) -> Bool { false }
  @inlinable mutating func prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {}
  @inlinable mutating func enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {}
  @inlinable mutating func dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Int) {}
  @inlinable mutating func settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Int) {}
  @inlinable mutating func release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {}
}

/// The way of every `select` (Go's `selectgo`): the place of the operation that proceeded, which holds its output.
///
/// First each operation that looks ready is tried under its own channel's lock alone, in a random order. When none of them
/// could proceed, all channels are locked in the order of their addresses: what is seen then is one moment, which
/// `.default` needs, and nothing can happen between the last look and the wait. Waiting, the goroutine stands in every
/// queue; the first partner to claim the frame decides.
@inlinable
func runSelect<Operands: SelectOperands & ~Copyable>(_ operands: inout Operands) -> Int {
  var plan = SelectPlan()
  operands.describe(&plan, 0)
  let m = currentM()
  var ready = plan.ready
  while ready != 0 {
    let index = SelectPlan.pick(&ready, m)
    guard let channel = plan.channel(index) else { return index }
    var woken: GRef?
    channel.pointee.lock.lock(m)
    let done = operands.perform(index, waking: &woken)
    Park.unlock(channel.lockAddress, on: m, readying: woken)
    if done { return index }
  }
  let channels = plan.receives | plan.sends
  if plan.defaultIndex >= 0 && channels & (channels &- 1) == 0 {
    // At most one channel: the look was one moment.
    return plan.defaultIndex
  }
  return waitInSelect(&operands, &plan)
}

@inlinable
@inline(never)
func waitInSelect<Operands: SelectOperands & ~Copyable>(_ operands: inout Operands, _ plan: inout SelectPlan) -> Int {
  let m = currentM()
  let frame = UnsafeMutablePointer<SelectFrame>.take(Operands.count, for: m.currentG)
  operands.prepare(frame, 0)
  plan.collectLocks(frame)
  frame.lockAll(m)
  var ready = plan.looksReady()
  while ready != 0 {
    let index = SelectPlan.pick(&ready, m)
    if plan.sendsOnClosed(index) {
      // The goroutine may end alone (`Goroutine.isolated`): the other channels' locks and the frame are not left with it.
      frame.unlockAll(m)
      operands.release(frame, 0)
      frame.giveBack()
      Fatal.panic("send on closed channel")
    }
    var woken: GRef?
    if operands.perform(index, waking: &woken) {
      frame.unlockAll(m, readying: woken)
      operands.release(frame, 0)
      frame.giveBack()
      return index
    }
  }
  if plan.defaultIndex >= 0 {
    frame.unlockAll(m)
    operands.release(frame, 0)
    frame.giveBack()
    return plan.defaultIndex
  }
  operands.enqueue(frame, 0)
  Park.park(.select, unlockingAll: frame)
  let fired = Int(frame.pointee.fired)
  operands.dequeue(frame, 0, fired: fired)
  operands.settle(frame, 0, fired: fired)
  frame.giveBack()
  return fired
}

/// Waits for ever: a `select` without operations.
public func selectForever() -> Never {
  Park.parkForever(.selectNoCases)
}
