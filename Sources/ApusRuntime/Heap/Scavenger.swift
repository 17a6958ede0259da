import CApus
import Synchronization

/// Gives the memory of free blocks back to the kernel (Go's background scavenger): what is beyond the next goal and a
/// tenth, in pieces, and pausing so long after each that it takes about a hundredth of one processor.
struct Scavenger: ~Copyable {
  let work = SemaphoreRoot(0)
  let isAwake = Atomic<Bool>(true)
  /// Bytes given back so far.
  let releasedBytes = Atomic<Int>(0)
  /// Nanoseconds that it took.
  let spent = Atomic<Int64>(0)

  init() {}

  private static var scavenger: UnsafePointer<Scavenger> {
    withUnsafePointer(to: heap.pointee.scavenger) { $0 }
  }

  /// The blocks given back in one piece: half a megabyte.
  private static var piece: Int { 16 }
  private static var share: Int64 { 100 }

  /// How many blocks may have memory: the goal and a tenth, and what is in use; less where there is a limit.
  private static var retained: Int {
    let goal = heap.pointee.pacer.goal.load(ordering: .relaxed)
    let limit = heap.pointee.pacer.limit.load(ordering: .relaxed)
    let kept = min(goal, limit)
    return (kept / HeapGeometry.blockSize).addingReportingOverflow(kept / HeapGeometry.blockSize / 10).partialValue + 1
  }

  private static var isDue: Bool { PageHeap.hasFreeMemory && PageHeap.residentBlocks > retained }

  /// Has the scavenger begin if there is too much. A cycle's blocks are swept.
  static func wake() {
    if isDue && !scavenger.pointee.isAwake.exchange(true, ordering: .acquiringAndReleasing) {
      scavenger.pointee.work.release()
    }
  }

  /// The scavenger's goroutine (Go's `bgscavenge`).
  static func runInBackground() {
    while true {
      scavenger.pointee.isAwake.store(false, ordering: .releasing)
      scavenger.pointee.work.acquire(1, .scavengeWait)
      while isDue {
        let released = release(piece)
        if released.count == 0 { break }
        scavenger.pointee.spent.wrappingAdd(released.time, ordering: .relaxed)
        Timers.sleep(until: Clock.nanotime() + released.time * (share - 1))
      }
    }
  }

  /// Gives up to `most` neighbouring free blocks back; how many it were, and the nanoseconds that the thread has computed
  /// for it (not those for which it waited for a CPU: on a busy machine the pauses after them would never end).
  private static func release(_ most: Int) -> (count: Int, time: Int64) {
    let m = acquireM()
    defer { releaseM(m) }
    let start = Clock.threadTime()
    guard let (index, count) = PageHeap.takeForRelease(most, on: m) else { return (0, 0) }
    let address = UnsafeMutableRawPointer(bitPattern: heap.pointee.arena.address(ofBlock: index))
    _ = apus_madvise(address, count * HeapGeometry.blockSize, APUS_MADV_DONTNEED)
    // Their marks, too, which are all 0: an eighth as much. Where a page is larger than one block's they stay.
    if HeapGeometry.marksPerBlock % sched.pointee.facts.pageSize == 0 {
      let marks = heap.pointee.arena.marks(ofBlock: index)
      _ = apus_madvise(marks, count * HeapGeometry.marksPerBlock, APUS_MADV_DONTNEED)
    }
    PageHeap.returnReleased(index, count, on: m)
    scavenger.pointee.releasedBytes.wrappingAdd(count * HeapGeometry.blockSize, ordering: .relaxed)
    return (count, Clock.threadTime() - start)
  }

  /// Gives back everything that is free (the second half of Go's `FreeOSMemory`).
  static func releaseAll() {
    // In pieces of 2 MB: each is a section.
    while release(64).count > 0 {}
  }

  /// Makes room for `count` more blocks below the limit, if there is one, out of what is free elsewhere. For a caller who
  /// is about to take memory from the kernel.
  static func makeRoom(for count: Int) {
    let limit = heap.pointee.pacer.limit.load(ordering: .relaxed)
    if limit == Int.max { return }
    while PageHeap.hasFreeMemory
      && (PageHeap.residentBlocks + count) * HeapGeometry.blockSize + heap.pointee.pacer.outside > limit
    {
      if release(max(count, piece)).count == 0 { return }
    }
  }
}
