import CApus
import Synchronization

/// One `withHeap` of a goroutine: while it lasts, references to managed objects may lie on the goroutine's stack. The
/// compiler keeps them from outliving it, so the collector has no need to look at any other stack.
public struct HeapScope {
  let g: GRef
  var next: UnsafeMutablePointer<HeapScope>?
  var previous: UnsafeMutablePointer<HeapScope>?
  let shard: Int
  /// An address in the frame that began it, by which scopes of one goroutine are in order.
  let frame: UInt
  /// It is inside another one of the goroutine's.
  let isInner: Bool
}

/// All goroutines in a `withHeap`, in a few lists so that many processors may begin and end scopes at once. A goroutine in
/// nested scopes stands there more than once. Records are reused, never freed.
public struct HeapScopes: ~Copyable {
  /// Whether the calling thread runs a goroutine, which can have scopes.
  public static var isPossible: Bool {
    let kind = currentM().currentG.pointee.kind
    return kind == .user || kind == .system
  }

  static var shardCount: Int { 8 }

  struct Shard: ~Copyable {
    let lock = RuntimeLock(.heapScopes)
    // Under lock.
    var first: UnsafeMutablePointer<HeapScope>?
    var free: UnsafeMutablePointer<HeapScope>?
    var arena = PersistentArena()
  }

  /// Each on a cache line of its own.
  private let shards: UnsafeMutableRawPointer
  private static var stride: Int { (MemoryLayout<Shard>.size + 63) & ~63 }

  init(at memory: UnsafeMutableRawPointer) {
    shards = memory
    for index in 0..<Self.shardCount {
      (memory + index * Self.stride).bindMemory(to: Shard.self, capacity: 1).initialize(to: Shard())
    }
  }

  static var bytes: Int { shardCount * stride }

  private static func shard(_ index: Int) -> UnsafeMutablePointer<Shard> {
    (heap.pointee.scopes.shards + index * stride).assumingMemoryBound(to: Shard.self)
  }

  /// The current goroutine begins a scope. It must be no foreign thread's.
  public static func enter() -> UnsafeMutablePointer<HeapScope> {
    let m = acquireM()
    let g = m.currentG
    let index = (m.pointee.p.map { Int($0.pointee.id) } ?? 0) & (shardCount - 1)
    let shard = shard(index)
    shard.pointee.lock.lock(m)
    let scope: UnsafeMutablePointer<HeapScope>
    if let free = shard.pointee.free {
      scope = free
      shard.pointee.free = free.pointee.next
    } else {
      scope = shard.pointee.arena.allocate(bytes: MemoryLayout<HeapScope>.size)
        .bindMemory(to: HeapScope.self, capacity: 1)
    }
    scope.initialize(
      to: HeapScope(
        g: g, next: shard.pointee.first, previous: nil, shard: index, frame: apus_frame_pointer(),
        isInner: g.pointee.isInHeapScope))
    g.pointee.isInHeapScope = true
    shard.pointee.first?.pointee.previous = scope
    shard.pointee.first = scope
    shard.pointee.lock.unlock(m)
    releaseM(m)
    return scope
  }

  /// The current goroutine ends the scope.
  public static func leave(_ scope: UnsafeMutablePointer<HeapScope>) {
    let m = acquireM()
    let shard = shard(scope.pointee.shard)
    shard.pointee.lock.lock(m)
    end(scope, in: shard, of: m.currentG)
    shard.pointee.lock.unlock(m)
    releaseM(m)
  }

  /// The caller holds the shard's lock.
  private static func end(_ scope: UnsafeMutablePointer<HeapScope>, in shard: UnsafeMutablePointer<Shard>, of g: GRef) {
    let (next, previous) = (scope.pointee.next, scope.pointee.previous)
    if let previous { previous.pointee.next = next } else { shard.pointee.first = next }
    next?.pointee.previous = previous
    scope.pointee.next = shard.pointee.free
    shard.pointee.free = scope
    if !scope.pointee.isInner { g.pointee.isInHeapScope = false }
  }

  /// Ends the scopes that the current goroutine has begun in frames below `address`, which a trap has made it forget
  /// (`Isolation`). Looks at all goroutines' scopes if it is in one.
  static func forget(below address: UInt) {
    let m = acquireM()
    let g = m.currentG
    for index in 0..<(g.pointee.isInHeapScope ? shardCount : 0) {
      let shard = shard(index)
      shard.pointee.lock.lock(m)
      var scope = shard.pointee.first
      while let current = scope {
        scope = current.pointee.next
        if current.pointee.g == g && current.pointee.frame < address { end(current, in: shard, of: g) }
      }
      shard.pointee.lock.unlock(m)
    }
    releaseM(m)
  }

  /// Calls `body` with each goroutine that is in a scope, until it says no; false when it did. The world stands still, so
  /// the lists do: nobody begins or ends a scope without a P, and nobody is stopped while he holds a runtime lock.
  ///
  /// Some time before, `fetching` is called with it, which may have the processor fetch what `body` reads. The goroutine's
  /// record is fetched then.
  static func each(fetching: (GRef) -> Void, _ body: (GRef) -> Bool) -> Bool {
    for index in 0..<shardCount {
      var scope = shard(index).pointee.first
      // Two more cursors, which are that much ahead: for records, and for what they refer to.
      var (record, content) = (scope, scope)
      for _ in 0..<2 * distance { fetchRecord(&record) }
      for _ in 0..<distance { fetchContent(&content, fetching) }
      while let current = scope {
        fetchRecord(&record)
        fetchContent(&content, fetching)
        if !body(current.pointee.g) { return false }
        scope = current.pointee.next
      }
    }
    return true
  }

  private static var distance: Int { 8 }

  @inline(__always)
  private static func fetchRecord(_ scope: inout UnsafeMutablePointer<HeapScope>?) {
    guard let current = scope else { return }
    apus_prefetch(UInt(bitPattern: current.pointee.g))
    scope = current.pointee.next
  }

  @inline(__always)
  private static func fetchContent(_ scope: inout UnsafeMutablePointer<HeapScope>?, _ fetching: (GRef) -> Void) {
    guard let current = scope else { return }
    fetching(current.pointee.g)
    scope = current.pointee.next
  }
}
