import CApus
import Synchronization

/// All stacks that are not bound to a goroutine nor in a P's cache (Go's `stackpool`).
public struct StackPools: ~Copyable {
  let lock = RuntimeLock(.stacks)
  let defaultOrder: UInt8
  // Under lock, one for each order.
  private let regions: UnsafeMutablePointer<StackRegion>
  private let freeSlots: UnsafeMutablePointer<SlotList>
  /// Stacks of the default size that left a P's cache as they were, and are the next to be taken. Where one P starts
  /// goroutines and another ends them, stacks go round through the pools, and each would lose its deep pages every time:
  /// most of what such a round costs, and a third of what it takes to wake many goroutines that then end. Here it loses
  /// them when nobody has needed it for a while (`StackCooling`). They are never more than were in use together; but
  /// what else a program takes, in the moment after so many have ended, comes on top of them. Under lock.
  private var warmSlots = SlotList()
  /// The fewest warm stacks there have been since sysmon looked: so many were not needed. Under lock.
  private var fewestWarm = 0
  /// How many are warm. Written under lock; sysmon reads it without.
  private let warmCount = Atomic<Int>(0)

  init(defaultOrder: UInt8) {
    self.defaultOrder = defaultOrder
    let count = StackSize.orders.count
    let memory = PersistentMemory.map(
      bytes: count * (MemoryLayout<StackRegion>.stride + MemoryLayout<SlotList>.stride))
    regions = memory.bindMemory(to: StackRegion.self, capacity: count)
    freeSlots = (memory + count * MemoryLayout<StackRegion>.stride).bindMemory(to: SlotList.self, capacity: count)
    for order in StackSize.orders {
      let index = StackSize.index(of: order)
      (regions + index).initialize(to: StackRegion(order: order))
      (freeSlots + index).initialize(to: SlotList())
    }
  }

  private static var pools: UnsafeMutablePointer<StackPools> {
    withUnsafeMutablePointer(to: &sched.pointee.stackPools) { $0 }
  }

  /// Binds a stack to `g`, which has none, from the P's cache or the pools.
  static func bind(_ g: GRef, on m: MRef) {
    let p = m.pointee.p.unsafelyUnwrapped
    let order = g.pointee.stackOrder
    if order == p.pointee.stacks.order {
      if p.pointee.stacks.isEmpty { refill(&p.pointee.stacks, on: m) }
      Switch.bind(g, to: p.pointee.stacks.pop().unsafelyUnwrapped)
    } else {
      pools.pointee.lock.lock(m)
      let stack = take(order, on: m)
      pools.pointee.lock.unlock(m)
      Switch.bind(g, to: stack)
    }
  }

  /// Takes the stack of the ended goroutine `g`, on whose stack nobody is any more.
  static func takeBack(_ g: GRef, on m: MRef) {
    let stack = Stack(hi: g.pointee.head.stack_hi, order: g.pointee.stackOrder)
    g.pointee.head.stack_hi = 0
    let p = m.pointee.p.unsafelyUnwrapped
    if stack.order == p.pointee.stacks.order {
      p.pointee.stacks.push(stack)
      if p.pointee.stacks.isFull { drain(&p.pointee.stacks, keeping: StackCache.capacity / 2, on: m) }
    } else {
      // Another size than the default is rare and often large: nothing of it is kept.
      _ = apus_madvise(
        UnsafeMutableRawPointer(bitPattern: stack.lo), 1 << Int(stack.order), APUS_MADV_DONTNEED)
      pools.pointee.lock.lock(m)
      pools.pointee.put(stack)
      pools.pointee.lock.unlock(m)
    }
  }

  /// Takes back everything of a P that is dissolved.
  static func takeBack(_ cache: inout StackCache) {
    drain(&cache, keeping: 0, on: currentM())
  }

  /// Has all stacks kept elsewhere when it is time to, those of reservations to come too: `mark` is called under the lock
  /// under which those are made, and has to see to it that they know.
  static func shelve(on m: MRef, _ mark: () -> Void) {
    pools.pointee.lock.lock(m)
    mark()
    for index in 0..<StackSize.orders.count { pools.pointee.regions[index].shelve() }
    pools.pointee.lock.unlock(m)
  }

  private static func refill(_ cache: inout StackCache, on m: MRef) {
    pools.pointee.lock.lock(m)
    for _ in 0..<(StackCache.capacity / 2) { cache.push(take(cache.order, on: m)) }
    pools.pointee.lock.unlock(m)
  }

  /// A stack. The pools are locked; meanwhile they may not be.
  private static func take(_ order: UInt8, on m: MRef) -> Stack {
    while true {
      if let stack = pools.pointee.take(order) { return stack }
      addFresh(order, on: m)
    }
  }

  /// Adds stacks that nobody has used yet. The pools are locked; meanwhile they are not, and others may have taken them.
  private static func addFresh(_ order: UInt8, on m: MRef) {
    let index = StackSize.index(of: order)
    let fresh = pools.pointee.regions[index].claim()
    let region = pools.pointee.regions[index]
    pools.pointee.lock.unlock(m)
    if fresh.isEmpty {
      FatalReport.fatalError("runtime: the address space reserved for goroutine stacks is used up")
    }
    region.prepare(fresh)
    pools.pointee.lock.lock(m)
    pools.pointee.freeSlots[index].reserve(region.capacity)
    // The lowest on top. Not `reversed()`, which allocates in a debug build.
    var slot = fresh.upperBound
    while slot > fresh.lowerBound {
      slot -= 1
      pools.pointee.freeSlots[index].push(UInt32(slot))
    }
  }

  private static func drain(_ cache: inout StackCache, keeping: Int, on m: MRef) {
    pools.pointee.lock.lock(m)
    while cache.count > keeping, let stack = cache.pop() { pools.pointee.putWarm(stack) }
    pools.pointee.lock.unlock(m)
  }

  /// Whether any stack in the pools may have deep pages.
  static var hasWarm: Bool { pools.pointee.warmCount.load(ordering: .relaxed) > 0 }

  /// How many of the warm stacks nobody has needed since the last call.
  static func unneeded(on m: MRef) -> Int {
    pools.pointee.lock.lock(m)
    let fewest = pools.pointee.fewestWarm
    pools.pointee.fewestWarm = pools.pointee.warmSlots.count
    pools.pointee.lock.unlock(m)
    return fewest
  }

  /// Gives the deep pages of at most `limit` warm stacks back to the kernel, by way of the empty `cache`, and says of how
  /// many. Meanwhile nobody finds them; who needs one takes another.
  static func cool(atMost limit: Int, by cache: inout StackCache, on m: MRef) -> Int {
    pools.pointee.lock.lock(m)
    while cache.count < limit, !cache.isFull, let stack = pools.pointee.takeWarm() { cache.push(stack) }
    pools.pointee.lock.unlock(m)
    let count = cache.count
    cache.trim(downTo: 0)
    pools.pointee.lock.lock(m)
    while let stack = cache.pop() { pools.pointee.put(stack) }
    pools.pointee.lock.unlock(m)
    return count
  }

  /// A free stack; nil when there is none.
  private mutating func take(_ order: UInt8) -> Stack? {
    if order == defaultOrder, let stack = takeWarm() { return stack }
    let index = StackSize.index(of: order)
    return freeSlots[index].pop().map { regions[index].stack(at: Int($0)) }
  }

  private mutating func put(_ stack: Stack) {
    freeSlots[StackSize.index(of: stack.order)].push(slot(of: stack))
  }

  private mutating func putWarm(_ stack: Stack) {
    warmSlots.reserve(regions[StackSize.index(of: defaultOrder)].capacity)
    warmSlots.push(slot(of: stack))
    warmCount.store(warmSlots.count, ordering: .relaxed)
  }

  private mutating func takeWarm() -> Stack? {
    guard let slot = warmSlots.pop() else { return nil }
    fewestWarm = min(fewestWarm, warmSlots.count)
    warmCount.store(warmSlots.count, ordering: .relaxed)
    return regions[StackSize.index(of: defaultOrder)].stack(at: Int(slot))
  }

  private func slot(of stack: Stack) -> UInt32 {
    let region = regions[StackSize.index(of: stack.order)]
    return UInt32(Int(stack.hi - region.base) / region.slotSize - 1)
  }
}

/// Numbers of free slots, last in first out. Outside the stacks themselves, so that a free stack need not be touched.
private struct SlotList {
  private var slots: UnsafeMutablePointer<UInt32>?
  private(set) var count = 0

  /// Makes room for `capacity` numbers, once; untouched room costs no memory.
  mutating func reserve(_ capacity: Int) {
    if slots == nil {
      slots = PersistentMemory.map(bytes: 4 * capacity).bindMemory(to: UInt32.self, capacity: capacity)
    }
  }

  mutating func push(_ slot: UInt32) {
    slots.unsafelyUnwrapped[count] = slot
    count += 1
  }

  mutating func pop() -> UInt32? {
    if count == 0 { return nil }
    count -= 1
    return slots.unsafelyUnwrapped[count]
  }
}
