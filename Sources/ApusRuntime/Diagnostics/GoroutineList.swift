import CApus

/// The goroutines that live, in the order of their numbers. The list is in memory of its own straight from the kernel: it
/// is made while the world stands still or the process fails, when malloc's lock may be held by whoever does not run.
struct GoroutineList: ~Copyable {
  private struct Entry {
    var id: UInt64
    var g: GRef
  }

  private var entries = UnsafeMutableBufferPointer<Entry>(start: nil, count: 0)
  private var size = 0
  private(set) var count = 0

  /// All goroutines that live but `current`, the runtime's own only `withSystem`. `slabs`: the registry's. Empty when there
  /// is no memory for it.
  init(
    _ slabs: UnsafeMutablePointer<GoroutineRegistry.SlabHeader>?, without current: GRef?, withSystem: Bool
  ) {
    var most = 0
    var slab = slabs
    while let header = slab {
      most += header.pointee.count
      slab = header.pointee.next
    }
    if most == 0 { return }
    size = most * MemoryLayout<Entry>.stride
    guard let memory = apus_mmap(size) else { return }
    entries = UnsafeMutableBufferPointer(start: memory.bindMemory(to: Entry.self, capacity: most), count: most)
    GoroutineRegistry.eachRecord(of: slabs) { g in
      let isShown = g.pointee.kind == .user || (g.pointee.kind == .system && withSystem)
      if g == current || g.pointee.status == .dead || !isShown { return }
      entries[count] = Entry(id: g.pointee.head.id, g: g)
      count += 1
    }
    sort()
  }

  subscript(index: Int) -> GRef { entries[index].g }

  mutating func close() {
    if let base = entries.baseAddress { _ = apus_munmap(base, size) }
  }

  /// Heapsort: needs no further memory, and no more time for an unlucky order.
  private func sort() {
    guard let base = entries.baseAddress else { return }
    var start = count / 2
    while start > 0 {
      start -= 1
      Self.sink(base, start, count)
    }
    var end = count
    while end > 1 {
      end -= 1
      (base[0], base[end]) = (base[end], base[0])
      Self.sink(base, 0, end)
    }
  }

  private static func sink(_ base: UnsafeMutablePointer<Entry>, _ start: Int, _ end: Int) {
    var parent = start
    while 2 * parent + 1 < end {
      var child = 2 * parent + 1
      if child + 1 < end && base[child].id < base[child + 1].id { child += 1 }
      if base[parent].id >= base[child].id { return }
      (base[parent], base[child]) = (base[child], base[parent])
      parent = child
    }
  }
}

extension GoroutineRegistry {
  /// Calls `body` with every record of `slabs`, living or dead.
  static func eachRecord(of slabs: UnsafeMutablePointer<SlabHeader>?, _ body: (GRef) -> Void) {
    var slab = slabs
    while let header = slab {
      let first = UnsafeMutableRawPointer(header.pointee.records)
      for index in 0..<header.pointee.count {
        body((first + index * recordStride).assumingMemoryBound(to: G.self))
      }
      slab = header.pointee.next
    }
  }

  /// The newest slab now; older ones follow by their links, and none is ever taken away.
  static func lockedSlabs(_ m: MRef) -> UnsafeMutablePointer<SlabHeader>? {
    sched.pointee.goroutines.lock.lock(m)
    defer { sched.pointee.goroutines.lock.unlock(m) }
    return sched.pointee.goroutines.slabs
  }
}
