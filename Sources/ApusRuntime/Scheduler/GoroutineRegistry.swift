import Synchronization

/// All goroutine records: where they come from, and the free list that the Ps share (Go's `allgs`, `sched.gFree`).
public struct GoroutineRegistry: ~Copyable {
  let lock = RuntimeLock(.goroutines)
  // Under lock.
  var free = GList()
  var arena = PersistentArena()
  /// Free frames of `select` that no P has.
  var selectFrames = SelectFrameList()
  /// How many there are, free or not.
  var selectFrameCount = 0
  /// The newest slab; the others by `SlabHeader.next`. Read by dumps while the world stands still.
  var slabs: UnsafeMutablePointer<SlabHeader>?
  /// Goroutines spawned where there is no P (foreign threads).
  let foreignBalance = Atomic<Int64>(0)

  struct SlabHeader {
    var next: UnsafeMutablePointer<SlabHeader>?
    var records: GRef
    var count: Int
  }

  static var recordStride: Int { (MemoryLayout<G>.size + 63) & ~63 }
  static var slabCount: Int { 64 }
  /// A P keeps up to `localLimit` free records and exchanges half of them with the shared list.
  static var localLimit: Int { 64 }

  /// Moves up to half a local list's worth of records to `list`, from the shared list or new.
  static func refill(_ list: inout GList, on m: MRef) {
    let registry = withUnsafeMutablePointer(to: &sched.pointee.goroutines) { $0 }
    registry.pointee.lock.lock(m)
    if registry.pointee.free.count == 0 { registry.pointee.addSlab() }
    for _ in 0..<(localLimit / 2) {
      guard let g = registry.pointee.free.pop() else { break }
      list.push(g)
    }
    registry.pointee.lock.unlock(m)
  }

  /// Moves records of `list` to the shared list until `keeping` are left.
  static func takeBack(_ list: inout GList, keeping: Int = 0) {
    let m = currentM()
    let registry = withUnsafeMutablePointer(to: &sched.pointee.goroutines) { $0 }
    registry.pointee.lock.lock(m)
    while list.count > keeping, let g = list.pop() { registry.pointee.free.push(g) }
    registry.pointee.lock.unlock(m)
  }

  /// Moves up to half a local list's worth of `select` frames to `list`, from the shared list; at least one, if need be new.
  static func refill(_ list: inout SelectFrameList, on m: MRef) {
    let registry = withUnsafeMutablePointer(to: &sched.pointee.goroutines) { $0 }
    registry.pointee.lock.lock(m)
    while list.count < SelectFrameList.localLimit / 2, let frame = registry.pointee.selectFrames.pop() {
      list.push(frame)
    }
    if list.count == 0 {
      let capacity = SelectFrame.standardCapacity
      let memory = registry.pointee.arena.allocate(bytes: SelectFrame.size(capacity: capacity))
      list.push(SelectFrame.make(memory, capacity: capacity))
      registry.pointee.selectFrameCount += 1
    }
    registry.pointee.lock.unlock(m)
  }

  /// Moves frames of `list` to the shared list until `keeping` are left.
  static func takeBack(_ list: inout SelectFrameList, keeping: Int = 0, on m: MRef) {
    let registry = withUnsafeMutablePointer(to: &sched.pointee.goroutines) { $0 }
    registry.pointee.lock.lock(m)
    while list.count > keeping, let frame = list.pop() { registry.pointee.selectFrames.push(frame) }
    registry.pointee.lock.unlock(m)
  }

  private mutating func addSlab() {
    let header = arena.allocate(bytes: MemoryLayout<SlabHeader>.size)
      .bindMemory(to: SlabHeader.self, capacity: 1)
    let memory = arena.allocate(bytes: Self.recordStride * Self.slabCount)
    let records = memory.assumingMemoryBound(to: G.self)
    header.initialize(to: SlabHeader(next: slabs, records: records, count: Self.slabCount))
    for i in 0..<Self.slabCount {
      let g = (memory + i * Self.recordStride).bindMemory(to: G.self, capacity: 1)
      g.initialize(to: G(g, kind: .user))
      free.push(g)
    }
    slabs = header
  }

  /// The number of goroutines that live, without the runtime's own. Exact while nothing is spawned and nothing ends.
  /// Starts the runtime if nothing has.
  package static var liveCount: Int {
    LazyStart.ensure()
    var sum = sched.pointee.goroutines.foreignBalance.load(ordering: .relaxed)
    Processors.each { sum += $0.pointee.liveBalance.load(ordering: .relaxed) }
    return max(Int(sum), 0)
  }
}
