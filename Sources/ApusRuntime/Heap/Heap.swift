import CApus
import Synchronization

/// The managed heap's state; a part of `Sched`. What each part is, and how they belong together, is told in
/// docs/HACKING.md, "The managed heap".
public struct Heap: ~Copyable {
  var arena = Arena()
  var pages = PageHeap()
  var types = HeapTypes()
  var scopes: HeapScopes
  var roots = RootTable()
  var weak = WeakTable()
  var markWork = MarkWork()
  var pacer = Pacer()
  var sweeper = Sweeper()
  var cleanup = Cleanup()
  var collector = Collector()
  var scavenger = Scavenger()

  init() {
    scopes = HeapScopes(at: PersistentMemory.map(bytes: HeapScopes.bytes))
  }

  /// Go's `mallocinit`: address space, no memory.
  mutating func reserve() {
    if HeapGeometry.blockSize % sched.pointee.facts.pageSize != 0 {
      FatalReport.fatalError("runtime: a block of the managed heap is no multiple of this system's pages")
    }
    arena.reserve()
  }
}

/// The managed heap. It exists as long as the scheduler does.
@inline(__always)
var heap: UnsafeMutablePointer<Heap> { withUnsafeMutablePointer(to: &sched.pointee.heap) { $0 } }
