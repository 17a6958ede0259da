import CApus
import Synchronization

/// All stacks that are not bound to a goroutine nor in a P's cache (Go's `stackpool`).
public struct StackPools: ~Copyable {
  let lock = RuntimeLock(.stacks)
  let defaultOrder: UInt8
  // Under lock, one for each order.
  private let regions: UnsafeMutablePointer<StackRegion>
  /// Those that have no memory, or were never used.
  private let cold: UnsafeMutablePointer<FreeStacks>
  /// Stacks of the default size that left a P's cache as they were, and are the next to be taken. Where one P starts
  /// goroutines and another ends them, stacks go round through the pools, and each would lose its deep pages every time:
  /// most of what such a round costs, and a third of what it takes to wake many goroutines that then end. They are never
  /// more than were in use together; but what else a program takes, in the moment after so many have ended, comes on top
  /// of them.
  private let warm: UnsafeMutablePointer<FreeStacks>
  /// Those of the default size that are taken when there is no warm one.
  private let cool: UnsafeMutablePointer<FreeStacks>

  init(defaultOrder: UInt8) {
    self.defaultOrder = defaultOrder
    let count = StackSize.orders.count
    let memory = PersistentMemory.map(
      bytes: count * MemoryLayout<StackRegion>.stride + (count + 2) * MemoryLayout<FreeStacks>.stride)
    regions = memory.bindMemory(to: StackRegion.self, capacity: count)
    cold = (memory + count * MemoryLayout<StackRegion>.stride).bindMemory(to: FreeStacks.self, capacity: count + 2)
    warm = cold + count
    cool = warm + 1
    for order in StackSize.orders {
      let index = StackSize.index(of: order)
      (regions + index).initialize(to: StackRegion(order: order))
      (cold + index).initialize(to: FreeStacks())
    }
    warm.initialize(to: FreeStacks())
    cool.initialize(to: FreeStacks())
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
      if p.pointee.stacks.isFull { put(&p.pointee.stacks, keeping: StackCache.capacity / 2, .warm, on: m) }
    } else {
      // Another size than the default is rare and often large: nothing of it is kept.
      _ = apus_madvise(
        UnsafeMutableRawPointer(bitPattern: stack.lo), 1 << Int(stack.order), APUS_MADV_DONTNEED)
      pools.pointee.lock.lock(m)
      pools.pointee.put(stack, .cold)
      pools.pointee.lock.unlock(m)
    }
  }

  /// Takes back everything of a P that is dissolved.
  static func takeBack(_ cache: inout StackCache) {
    put(&cache, .warm, on: currentM())
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
    pools.pointee.cold[index].reserve(region.capacity)
    // The lowest on top. Not `reversed()`, which allocates in a debug build.
    var slot = fresh.upperBound
    while slot > fresh.lowerBound {
      slot -= 1
      pools.pointee.cold[index].push(UInt32(slot))
    }
  }

  /// Puts the stacks of `cache` into the pools, until so many are left.
  private static func put(
    _ cache: inout StackCache, keeping: Int = 0, _ warmth: StackWarmth, on m: MRef
  ) {
    pools.pointee.lock.lock(m)
    while cache.count > keeping, let stack = cache.pop() { pools.pointee.put(stack, warmth) }
    pools.pointee.lock.unlock(m)
  }

  /// How many stacks in the pools may have memory.
  static var idleCount: Int { pools.pointee.warm.pointee.count + pools.pointee.cool.pointee.count }

  /// Whether there are stacks of the default size in the pools that are `warmth`.
  static func has(_ warmth: StackWarmth) -> Bool { pools.pointee.free(warmth).pointee.count > 0 }

  /// How many of the stacks that are `warmth` nobody has needed since the last call.
  static func takeUnneeded(_ warmth: StackWarmth, on m: MRef) -> Int {
    pools.pointee.lock.lock(m)
    let unneeded = pools.pointee.free(warmth).pointee.takeUnneeded()
    pools.pointee.lock.unlock(m)
    return unneeded
  }

  /// Takes at most `limit` stacks that are `warmth` a step down, by way of the empty `batch`, and says how many. Meanwhile
  /// nobody finds them; who needs one takes another.
  static func release(_ warmth: StackWarmth, atMost limit: Int, by batch: inout StackCache, on m: MRef) -> Int {
    pools.pointee.lock.lock(m)
    while batch.count < limit, !batch.isFull, let slot = pools.pointee.free(warmth).pointee.popForRelease() {
      batch.push(pools.pointee.stack(inSlot: slot))
    }
    pools.pointee.lock.unlock(m)
    let count = batch.count
    batch.release(warmth)
    put(&batch, warmth.next, on: m)
    return count
  }

  /// The same, of those that nobody has needed since `takeUnneeded` was last called.
  static func releaseUnneeded(_ warmth: StackWarmth, atMost limit: Int, by batch: inout StackCache, on m: MRef) -> Int {
    // Sysmon alone raises it, which calls this.
    release(warmth, atMost: min(limit, pools.pointee.free(warmth).pointee.unneeded), by: &batch, on: m)
  }

  /// The same, of `count`, or as many as there are. A piece is a system call.
  private static func release(
    _ warmth: StackWarmth, all count: Int, inPiecesOf piece: Int = StackCache.capacity, by batch: inout StackCache,
    on m: MRef
  ) {
    var left = count
    while left > 0 {
      let released = release(warmth, atMost: min(left, piece), by: &batch, on: m)
      left = released == 0 ? 0 : left - released
    }
  }

  /// Takes the memory of so many stacks as lay in the caches of Ps that were idle at the last call, too, and did nothing in
  /// between; true if there are idle Ps with others. For sysmon.
  static func releaseIdle(by batch: inout StackCache, on m: MRef) -> Bool {
    var (count, areLeft) = (0, false)
    sched.pointee.lock.lock(m)
    IdleLists.eachP { p in
      if p.pointee.stacks.isEmpty { return }
      if p.pointee.stacksTick == p.pointee.schedTick {
        count += p.pointee.stacks.count
        put(&p.pointee.stacks, .warm, on: m)
      } else {
        p.pointee.stacksTick = p.pointee.schedTick
        areLeft = true
      }
    }
    sched.pointee.lock.unlock(m)
    release(.warm, all: count, by: &batch, on: m)
    release(.cool, all: count, by: &batch, on: m)
    return areLeft
  }

  /// Takes the memory of all stacks but those in the caches of other Ps that run. For a goroutine.
  static func releaseAll() {
    let m = acquireM()
    sched.pointee.lock.lock(m)
    IdleLists.eachP { put(&$0.pointee.stacks, .warm, on: m) }
    sched.pointee.lock.unlock(m)
    if let p = m.pointee.p { put(&p.pointee.stacks, .warm, on: m) }
    releaseM(m)
    // If the goroutine is stopped from here on, what it has in hand is missing for so long.
    withUnsafeTemporaryAllocation(of: UInt.self, capacity: StackCache.capacity) { room in
      let order = sched.pointee.stackPools.defaultOrder
      var batch = StackCache(order: order, in: room.baseAddress.unsafelyUnwrapped)
      // As many as there are now: others may add some all the time. Whoever stops the world waits for two megabytes.
      let (warm, piece) = (pools.pointee.warm.pointee.count, max(1, (2 << 20) >> Int(order)))
      release(.warm, all: warm, inPiecesOf: piece, by: &batch, on: m)
      release(.cool, all: pools.pointee.cool.pointee.count, by: &batch, on: m)
    }
  }

  /// A free stack; nil when there is none.
  private func take(_ order: UInt8) -> Stack? {
    if order == defaultOrder {
      if let stack = take(.warm) { return stack }
      if let stack = take(.cool) { return stack }
    }
    let index = StackSize.index(of: order)
    return cold[index].pop().map { regions[index].stack(at: Int($0)) }
  }

  /// One of the default size.
  private func take(_ warmth: StackWarmth) -> Stack? { free(warmth).pointee.pop().map { stack(inSlot: $0) } }

  private func stack(inSlot slot: UInt32) -> Stack {
    regions[StackSize.index(of: defaultOrder)].stack(at: Int(slot))
  }

  /// One of another size is `cold`.
  private func put(_ stack: Stack, _ warmth: StackWarmth) {
    let index = StackSize.index(of: stack.order)
    let list = warmth == .cold ? cold + index : free(warmth)
    list.pointee.reserve(regions[index].capacity)
    list.pointee.push(UInt32(Int(stack.hi - regions[index].base) / regions[index].slotSize - 1))
  }

  private func free(_ warmth: StackWarmth) -> UnsafeMutablePointer<FreeStacks> {
    switch warmth {
    case .warm: warm
    case .cool: cool
    case .cold: cold + StackSize.index(of: defaultOrder)
    }
  }
}
