import Apus
import CApus
import Glibc
import Testing

import struct Synchronization.Atomic

@testable import ApusHeap
@testable import ApusRuntime

extension ManagedHeapTests {
  /// Where objects lie.
  @Suite struct Placement {
    /// The units of the arena have numbers from 0, which is nil, up to the largest that a link can hold.
    @Test func linksReachTheWholeArena() {
      let arena = heap.pointee.arena
      let end = arena.address(ofBlock: arena.blockLimit)
      #expect(end - arena.base <= UInt(HeapGeometry.granule) << 32)
      #expect(MemoryLayout<Link<Node>>.size == 4 && MemoryLayout<Links<5, Node>>.size == 20)
      var link: (UInt32, UInt32) = (0, 4711)
      for address in [arena.base + 8, arena.base + 1 << 31, end - 8] {
        apus_store_link(&link.0, address)
        #expect(link.0 == UInt32((address - arena.base) / 8))
        #expect(apus_load_link(&link.0) == address)
      }
      apus_clear_link(&link.0)
      #expect(link == (0, 4711))
      #expect(apus_load_link(&link.0) == 0)
    }

    /// The memory of marks goes to the system with that of their blocks, and comes back with them.
    @Test func freeBlocksHaveNoMarks() {
      let blocks = Shared<[Int]>([])
      @Sendable func haveMarks() -> Int {
        blocks.value.count { block in
          var state: UInt8 = 0
          let marks = heap.pointee.arena.marks(ofBlock: block)
          return mincore(UnsafeMutableRawPointer(marks), HeapGeometry.marksPerBlock, &state) == 0 && state & 1 != 0
        }
      }
      for _ in 0..<2 {
        onAnotherStack { token in
          // Arrays of about 10 KB, three to a block.
          let roots = (0..<100).map { _ in Root(token.newArray(repeating: 1, count: 1200)) }
          ManagedHeap.collect()
          blocks.value = roots.map { root in
            heap.pointee.arena.index(of: UInt(bitPattern: root.get(token).address))
          }
          #expect(haveMarks() == roots.count)
        }
        ManagedHeap.collect()
        ManagedHeap.releaseMemory()
        // Not all: one may be kept by a word that looks like a reference, or be in use again.
        if HeapGeometry.marksPerBlock % sched.pointee.facts.pageSize == 0 { #expect(haveMarks() < 50) }
      }
    }

    @Test func theArenasAddressIsNoObjects() {
      // An address that the collector's own functions leave on stacks.
      onAnotherStack { heap in _ = heap.new(Node(value: 1)) }
      var taken: [Int] = []
      while heap.pointee.pages.freeCount.load(ordering: .relaxed) > 0 {
        let m = acquireM()
        let index = PageHeap.allocate(1, on: m)
        releaseM(m)
        taken.append(index!)
      }
      #expect(!taken.contains(0))
      #expect(heap.pointee.arena.block(at: 0).pointee.state == .free)
      for index in taken {
        let m = acquireM()
        PageHeap.free(index, 1, on: m)
        releaseM(m)
      }
    }
  }

  /// An arena that has no more address space than it has made usable, where nothing asks for a collection before it is full.
  @Suite struct ArenasEnd {
    /// Runs `body` with the bytes that there are.
    private static func inSmallArena(_ body: @escaping @Sendable (Int) -> Void) {
      onAnotherStack { heap in _ = heap.new(Node(value: 1)) }
      ManagedHeap.collect()
      let percent = ManagedHeap.growthPercent
      let limit = heap.pointee.arena.blockLimit
      heap.pointee.arena.blockLimit = heap.pointee.arena.usableBlocks
      ManagedHeap.growthPercent = -1
      defer {
        heap.pointee.arena.blockLimit = limit
        ManagedHeap.growthPercent = percent
        ManagedHeap.collect()
      }
      body(heap.pointee.arena.blockLimit * HeapGeometry.blockSize)
    }

    @Test func garbageGoesBeforeItIsFull() {
      let before = ManagedHeap.statistics.collections
      Self.inSmallArena { bytes in
        onAnotherStack { heap in
          for _ in 0..<((5 * bytes / 2) >> 17) { _ = heap.newArray(repeating: 1 as UInt8, count: 1 << 17) }
        }
      }
      #expect(ManagedHeap.statistics.collections > before + 2)
    }

    /// Before the goal is reached: there are bytes enough, but in pieces, or the pacer was not asked.
    @Test func whoFindsNoBlocksCollects() {
      let isAutomatic = withUnsafePointer(to: Collector.collector.pointee.isAutomatic) { $0 }
      isAutomatic.pointee.store(false, ordering: .sequentiallyConsistent)
      defer { isAutomatic.pointee.store(true, ordering: .sequentiallyConsistent) }
      let before = ManagedHeap.statistics.collections
      Self.inSmallArena { bytes in
        for _ in 0..<2 {
          onAnotherStack { heap in _ = heap.newArray(repeating: 1 as UInt8, count: bytes / 10 * 7) }
        }
        // And in slots.
        onAnotherStack { heap in
          for _ in 0..<(bytes / 2 / 8000) { _ = heap.newArray(repeating: 1 as UInt8, count: 8000) }
        }
      }
      // One before, one after, and at least one for each of the two.
      #expect(ManagedHeap.statistics.collections >= before + 4)
    }

    /// What has died has to be destroyed first.
    @Test func whoFindsNoBlocksWaitsForTheCleanup() {
      let before = ManagedHeap.statistics.collections
      Self.inSmallArena { bytes in
        for _ in 0..<4 {
          onAnotherStack { heap in _ = heap.newArray(repeating: nil as Tracked?, count: bytes / 10 * 7 / 8) }
        }
        #expect(heap.pointee.arena.blockLimit == heap.pointee.arena.usableBlocks)
      }
      // One before, one after, and one before each but the first.
      #expect(ManagedHeap.statistics.collections >= before + 5)
    }

    @Test func whoFindsNoBlocksWaitsForTheScavenger() {
      Self.inSmallArena { bytes in
        onAnotherStack { heap in _ = heap.newArray(repeating: 1 as UInt8, count: bytes / 10 * 7) }
        ManagedHeap.collect()
        var pieces: [(index: Int, count: Int)] = []
        while let piece = PageHeap.takeForRelease(1 << 20, on: currentM()) { pieces.append(piece) }
        let group = WaitGroup()
        group.go { withHeap { heap in _ = heap.newArray(repeating: 1 as UInt8, count: bytes / 10 * 7) } }
        for _ in 0..<100 { Goroutine.yield() }
        for piece in pieces { PageHeap.returnReleased(piece.index, piece.count, on: currentM()) }
        group.wait()
        #expect(!pieces.isEmpty)
      }
    }
  }
}
