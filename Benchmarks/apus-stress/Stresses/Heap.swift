import Apus
import ApusHeap

import struct Synchronization.Atomic

/// Payloads that move all the time between a shared table, stacks, arrays, channels and each other, so that each is only
/// in one place or two, while eight goroutines allocate and the heap is collected at a tenth of growth. A payload that is
/// found with a wrong checksum was freed under somebody. With `GODEBUG=heapcheck=1` the heap looks at itself besides.
func heapPayloads(_ run: StressRun) {
  let largest = 64 << 20
  let before = Label.living.load(ordering: .relaxed)
  let percent = ManagedHeap.growthPercent
  ManagedHeap.growthPercent = 10
  withHeap { heap in
    let table = heap.newArray(repeating: Link<Payload>(), count: 512)
    let root = Root(table)
    let mail = Channel<Root<Payload>>(capacity: 64)
    run.withWorkers(8) { number, random in
      var mover = Mover(run: run, number: number, random: random, mail: mail)
      while !run.isOver {
        withHeap { heap in
          let table = root.get(heap)
          for _ in 0..<500 { mover.step(table) }
          // Else what hangs on the table grows for ever, and few collections take long.
          if ManagedHeap.statistics.objectBytes > largest { for index in table.indices { table[index] = nil } }
        }
        run.count(500)
        Goroutine.yield()
      }
    }
    for index in table.indices {
      if let payload = table[index] { run.check(payload.isWhole, "a payload of the table is broken at the end") }
      table[index] = nil
    }
    while case .element(_) = mail.tryReceive() {}
  }
  ManagedHeap.collect()
  // What is left of references on the stacks of the workers is gone with them.
  run.check(
    run.waitUntil { Label.living.load(ordering: .relaxed) == before },
    "\(Label.living.load(ordering: .relaxed) - before) labels were never released")
  ManagedHeap.growthPercent = percent
}

/// Something that Swift counts references to.
private final class Label: Sendable {
  static let living = Atomic<Int>(0)
  let number: Int

  init(_ number: Int) {
    self.number = number
    Self.living.wrappingAdd(1, ordering: .relaxed)
  }

  deinit { Self.living.wrappingSubtract(1, ordering: .relaxed) }
}

private struct Payload {
  var next = Link<Payload>()
  var tag = Link<Tag>()
  var others = Links<2, Payload>()
  var items = Link<HeapArray<Link<Payload>>>()
  var number: Int
  var check: Int

  init(_ number: Int) {
    self.number = number
    check = Self.checksum(number)
  }

  static func checksum(_ number: Int) -> Int { number &* 0x2545_f491_4f6c_dd1d ^ 0x5a5a }
}

/// What has to be destroyed, beside what has not.
private struct Tag {
  var label: Label
  var text: String
}

extension Ref where Object == Payload {
  /// Whether it is what it was made as, and so is what it refers to at once.
  fileprivate var isWhole: Bool {
    let number = self.number
    if self.check != Payload.checksum(number) { return false }
    if let tag = self.tag, tag.label.number != number || tag.text != "payload number \(number)" { return false }
    if let next = self.next, next.check != Payload.checksum(next.number) { return false }
    if let items = self.items {
      for index in items.indices {
        if let item = items[index], item.check != Payload.checksum(item.number) { return false }
      }
    }
    return true
  }
}

/// One of the goroutines that move payloads.
private struct Mover {
  let run: StressRun
  let number: Int
  var random: Random
  let mail: Channel<Root<Payload>>
  var made = 0
  var weak: [WeakRef<Payload>] = []

  mutating func step(_ table: Ref<HeapArray<Link<Payload>>>) {
    let (from, to) = (random.pick(0...511), random.pick(0...511))
    guard let payload = table[from] else {
      let new = table.heap.new(Payload(nextNumber()))
      tag(new)
      table[from] = new
      return
    }
    run.check(payload.isWhole, "payload \(payload.number) is broken")
    switch random.pick(0...15) {
    case 0...4:
      // From here to there, and away from here.
      table[to] = payload
      table[from] = nil
    case 5:
      // Only on this stack for a while.
      table[from] = nil
      Goroutine.yield()
      hold(payload, random.pick(0...20))
      table[to] = payload
    case 6:
      // Behind another one.
      if let other = table[to] { other.next = payload }
      table[from] = nil
    case 7:
      payload.next = nil
      payload.items = nil
      payload.others[random.pick(0...1)] = table[to]
    case 8:
      let items = table.heap.newArray(
        repeating: Link<Payload>(), count: random.oneIn(50) ? random.pick(1000...6000) : random.pick(1...40))
      for index in 0..<min(items.count, 40) { items[index] = table[random.pick(0...511)] }
      payload.items = items
    case 9:
      // From the middle of an array to the table.
      if let items = payload.items, let item = items[random.pick(0...(items.count - 1))] {
        run.check(item.isWhole, "payload \(item.number) of an array is broken")
        payload.items = nil
        table[to] = item
      }
    case 10:
      // By way of a root to whoever takes it.
      table[from] = nil
      if let back = mail.trySend(Root(payload)) { table[to] = back.get(table.heap) }
    case 11:
      if case .element(let root) = mail.tryReceive() { table[to] = root.get(table.heap) }
    case 12:
      weak.append(WeakRef(payload))
      if weak.count > 20 { lookAtWeak(table) }
    case 13:
      // A list that hangs on one reference.
      var last = payload
      for _ in 0..<random.pick(1...30) {
        let new = table.heap.new(Payload(nextNumber()))
        tag(new)
        last.next = new
        last = new
      }
    default:
      let new = table.heap.new(Payload(nextNumber()))
      tag(new)
      new.next = payload
      table[from] = new
      if random.oneIn(4) { table[to] = nil }
    }
  }

  private mutating func nextNumber() -> Int {
    made += 1
    return number << 40 | made
  }

  /// Some have something to be destroyed.
  private func tag(_ payload: Ref<Payload>) {
    if payload.number & 7 != 0 { return }
    payload.tag = payload.heap.new(Tag(label: Label(payload.number), text: "payload number \(payload.number)"))
  }

  /// Keeps the reference in frames that go deep, and gives way at the bottom.
  private func hold(_ payload: Ref<Payload>, _ depth: Int) {
    if depth == 0 {
      Goroutine.yield()
    } else {
      hold(payload, depth - 1)
    }
    run.check(payload.isWhole, "payload \(payload.number) is broken on a stack")
  }

  private mutating func lookAtWeak(_ table: Ref<HeapArray<Link<Payload>>>) {
    for reference in weak {
      guard let payload = reference.get(table.heap) else { continue }
      run.check(payload.isWhole, "payload \(payload.number) of a weak reference is broken")
      if random.oneIn(20) { table[random.pick(0...511)] = payload }
    }
    weak = []
  }
}
