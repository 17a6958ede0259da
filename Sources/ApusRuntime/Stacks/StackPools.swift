import CApus

/// All stacks that are not bound to a goroutine nor in a P's cache (Go's `stackpool`).
public struct StackPools: ~Copyable {
  let lock = RuntimeLock(.stacks)
  let defaultOrder: UInt8
  // Under lock, one for each order.
  private let regions: UnsafeMutablePointer<StackRegion>
  private let freeSlots: UnsafeMutablePointer<SlotList>

  init(defaultOrder: UInt8) {
    self.defaultOrder = defaultOrder
    let count = StackSize.orders.count
    let memory = PersistentMemory.map(
      bytes: count * (MemoryLayout<StackRegion>.stride + MemoryLayout<SlotList>.stride))
    regions = memory.bindMemory(to: StackRegion.self, capacity: count)
    freeSlots = (memory + count * MemoryLayout<StackRegion>.stride).bindMemory(to: SlotList.self, capacity: count)
    for order in StackSize.orders {
      let index = Int(order - StackSize.orders.lowerBound)
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
      let stack = pools.pointee.take(order)
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

  private static func refill(_ cache: inout StackCache, on m: MRef) {
    pools.pointee.lock.lock(m)
    for _ in 0..<(StackCache.capacity / 2) { cache.push(pools.pointee.take(cache.order)) }
    pools.pointee.lock.unlock(m)
  }

  private static func drain(_ cache: inout StackCache, keeping: Int, on m: MRef) {
    cache.trim(downTo: keeping)
    pools.pointee.lock.lock(m)
    while cache.count > keeping, let stack = cache.pop() { pools.pointee.put(stack) }
    pools.pointee.lock.unlock(m)
  }

  private mutating func take(_ order: UInt8) -> Stack {
    let index = Int(order - StackSize.orders.lowerBound)
    if let slot = freeSlots[index].pop() { return regions[index].stack(at: Int(slot)) }
    let fresh = regions[index].prepare()
    if fresh.isEmpty {
      FatalReport.fatalError("runtime: the address space reserved for goroutine stacks is used up")
    }
    freeSlots[index].reserve(regions[index].capacity)
    // The lowest on top. Not `reversed()`, which allocates in a debug build.
    var slot = fresh.upperBound
    while slot > fresh.lowerBound {
      slot -= 1
      freeSlots[index].push(UInt32(slot))
    }
    return regions[index].stack(at: Int(freeSlots[index].pop().unsafelyUnwrapped))
  }

  private mutating func put(_ stack: Stack) {
    let index = Int(stack.order - StackSize.orders.lowerBound)
    let region = regions[index]
    let slot = Int(stack.hi - region.base) / region.slotSize - 1
    freeSlots[index].push(UInt32(slot))
  }
}

/// Numbers of free slots, last in first out. Outside the stacks themselves, so that a free stack need not be touched.
private struct SlotList {
  private var slots: UnsafeMutablePointer<UInt32>?
  private var count = 0

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
