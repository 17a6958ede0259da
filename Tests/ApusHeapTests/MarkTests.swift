import Apus
import CApus
import Testing

import struct Synchronization.Atomic

@testable import ApusHeap
@testable import ApusRuntime

extension ManagedHeapTests {
  /// The marks of objects, and the order in which they are set.
  @Suite struct Marks {
    private struct Small {
      var value: Int
    }

    private struct Middle {
      var next = Link<Middle>()
      var values = (0, 0)

      /// Hangs a hundred of them on `first`.
      static func chain(on first: Ref<Middle>) {
        var last = first
        for _ in 0..<100 {
          let next = first.heap.new(Middle())
          last.next = next
          last = next
        }
      }
    }

    private struct Wide {
      var chains = Links<16, Middle>()
    }

    private struct Wider {
      var chains = Links<16, Wide>()
    }

    private static func isMarked(_ address: UnsafeMutableRawPointer) -> Bool {
      heap.pointee.arena.mark(of: UInt(bitPattern: address)).pointee != 0
    }

    /// `count` objects of which every second one is kept: how many of the others are found to live after a collection.
    private static func leftOver<Object: Sendable>(
      _ count: Int, _ make: @escaping @Sendable (Int) -> Object
    ) -> (kept: Int, others: Int) {
      let (root, weak) = (Shared<Root<HeapArray<Link<Object>>>?>(nil), Shared<[WeakRef<Object>]>([]))
      onAnotherStack { heap in
        let kept = heap.newArray(repeating: Link<Object>(), count: count / 2)
        for index in 0..<count {
          let object = heap.new(make(index))
          weak.value.append(WeakRef(object))
          if index % 2 == 1 { kept[index / 2] = object }
        }
        root.value = Root(kept)
      }
      DrivenCollector.begin()
      DrivenCollector.end()
      return withHeap { heap in
        let lives = weak.value.map { $0.get(heap) != nil }
        return (
          stride(from: 1, to: count, by: 2).count { lives[$0] }, stride(from: 0, to: count, by: 2).count { lives[$0] }
        )
      }
    }

    @Test func neighboursHaveMarksOfTheirOwn() {
      let small = DrivenCollector.run { Self.leftOver(4000) { Small(value: $0) } }
      #expect(small == (2000, 0))
      let middle = DrivenCollector.run { Self.leftOver(4000) { Middle(values: ($0, $0)) } }
      #expect(middle == (2000, 0))
    }

    @Test func marksComeOutAsBits() {
      var generator = SystemRandomNumberGenerator()
      for _ in 0..<1000 {
        var marks = (0..<64).map { _ in UInt8.random(in: 0...1, using: &generator) }
        let bits = (0..<64).reduce(UInt64(0)) { $0 | UInt64(marks[$1]) << UInt64($1) }
        #expect(apus_marks_bits(marks) == bits)
        #expect(apus_marks_take(&marks) == bits)
        #expect(marks == [UInt8](repeating: 0, count: 64))
      }
    }

    @Test func aMarkIsOneObjectsAlone() {
      let seen = DrivenCollector.run {
        let seen = Shared<[Bool]>([])
        DrivenCollector.begin()
        onAnotherStack { heap in
          var before = heap.new(Middle())
          while true {
            let object = heap.new(Middle())
            let address = UInt(bitPattern: object.address)
            if address - UInt(bitPattern: before.address) == 24 {
              let places = [address - 24, address - 16, address - 8, address]
              // New objects are black while the collector marks, and the whole of their run is marked.
              seen.value += places.map(StackNotes.isMarked)
              let mark = ApusRuntime.heap.pointee.arena.mark(of: UInt(bitPattern: before.address))
              mark.pointee = 0
              seen.value += places.map(StackNotes.isMarked)
              mark.pointee = 1
              return
            }
            before = object
          }
        }
        DrivenCollector.end()
        return seen.value
      }
      #expect(seen == [true, false, false, true, false, false, false, true])
    }

    @Test func whatIsMadeWhileTheCollectorMarksIsBlackUntilTheNextCycle() {
      let (lived, living) = DrivenCollector.run {
        let weak = Shared<[WeakRef<Middle>]>([])
        func count() -> Int { withHeap { heap in weak.value.count { $0.get(heap) != nil } } }
        DrivenCollector.begin()
        onAnotherStack { heap in
          for _ in 0..<3001 { weak.value.append(WeakRef(heap.new(Middle()))) }
        }
        DrivenCollector.end()
        let lived = count()
        DrivenCollector.begin()
        DrivenCollector.end()
        return (lived, count())
      }
      #expect(lived == 3001)
      #expect(living == 0)
    }

    /// Not for certain, as a few are looked at together; but long before the last one.
    @Test func theFirstLinkIsFollowedFirst() {
      let marked = DrivenCollector.run {
        let root = Shared<Root<Wider>?>(nil)
        onAnotherStack { heap in
          let wider = heap.new(Wider())
          for outer in 0..<16 {
            let wide = heap.new(Wide())
            wider.chains[outer] = wide
            for index in 0..<16 {
              let first = heap.new(Middle())
              wide.chains[index] = first
              Middle.chain(on: first)
            }
          }
          root.value = Root(wider)
        }
        DrivenCollector.begin()
        var marked: [Bool]
        repeat {
          DrivenCollector.mark(100 * 24)
          marked = withHeap { heap in
            let wides = root.value!.get(heap).chains
            return [wides[0]!.chains[0]!.next!.address, wides[15]!.chains[15]!.next!.address].map(Self.isMarked)
          }
        } while marked == [false, false]
        DrivenCollector.end()
        return marked
      }
      #expect(marked == [true, false])
    }

    @Test func theFirstElementIsFollowedFirst() {
      let marked = DrivenCollector.run {
        let root = Shared<Root<HeapArray<Link<Middle>>>?>(nil)
        onAnotherStack { heap in
          let chains = heap.newArray(repeating: Link<Middle>(), count: 100)
          for index in chains.indices {
            let first = heap.new(Middle())
            chains[index] = first
            Middle.chain(on: first)
          }
          root.value = Root(chains)
        }
        DrivenCollector.begin()
        var marked: [Bool]
        repeat {
          DrivenCollector.mark(100 * 24)
          marked = withHeap { heap in
            let chains = root.value!.get(heap)
            return [chains[0]!.next!.address, chains[99]!.next!.address].map(Self.isMarked)
          }
        } while marked == [false, false]
        DrivenCollector.end()
        return marked
      }
      #expect(marked == [true, false])
    }

    /// What many objects link to is in the buffers as often, and is scanned and counted once.
    @Test func whatIsLinkedToOftenCountsOnce() {
      let (marked, lives) = DrivenCollector.run {
        let root = Shared<Root<HeapArray<Link<Wide>>>?>(nil)
        DrivenCollector.begin()
        DrivenCollector.end()
        let before = Collector.collector.pointee.figures.marked
        onAnotherStack { heap in
          let shared = heap.new(Middle())
          Middle.chain(on: shared)
          let wides = heap.newArray(repeating: Link<Wide>(), count: 1000)
          for index in wides.indices {
            let wide = heap.new(Wide())
            wides[index] = wide
            for link in 0..<16 { wide.chains[link] = shared }
          }
          root.value = Root(wides)
        }
        DrivenCollector.begin()
        DrivenCollector.end()
        let lives = withHeap { heap in
          var (link, length) = (root.value!.get(heap)[999]!.chains[15], 0)
          while let middle = link { (link, length) = (middle.next, length + 1) }
          return length == 101
        }
        return (Collector.collector.pointee.figures.marked - before, lives)
      }
      #expect(lives)
      // The wide ones and their array are 68,008 bytes, the chain 2,424; as often as it is linked to it were 384,000 more.
      #expect(marked < 200_000)
    }

    /// A section ends in time, also in arrays that have nothing new.
    @Test func arraysThatAreScannedCount() {
      let (lives, calls) = DrivenCollector.run {
        let root = Shared<Root<HeapArray<Link<Middle>>>?>(nil)
        onAnotherStack { heap in
          let middle = heap.new(Middle())
          middle.next = heap.new(Middle())
          let count = 64 * Int(Marker.piece) / MemoryLayout<Link<Middle>>.size
          let all = heap.newArray(repeating: Link<Middle>(), count: count)
          for index in all.indices { all[index] = middle }
          root.value = Root(all)
        }
        DrivenCollector.begin()
        var calls = 0
        while DrivenCollector.mark(64 << 10) { calls += 1 }
        DrivenCollector.end()
        return (withHeap { heap in root.value!.get(heap)[0]!.next != nil }, calls)
      }
      #expect(lives)
      // Two pieces each.
      #expect(calls >= 28)
    }

    /// How many sections of `bytes` it takes to mark what `make` holds.
    private static func sections(
      of bytes: Int, _ make: @escaping @Sendable (HeapToken) -> any AnyObject & Sendable
    ) -> Int {
      DrivenCollector.run {
        let held = Shared<(any AnyObject & Sendable)?>(nil)
        onAnotherStack { heap in held.value = make(heap) }
        DrivenCollector.begin()
        var calls = 0
        repeat {
          while DrivenCollector.mark(bytes) { calls += 1 }
        } while !Collector.finish(waits: true)
        Sweeper.finish()
        return withExtendedLifetime(held.value) { calls }
      }
    }

    /// A section ends in time, also in links to what is marked. The array's first section marks its objects, which have yet
    /// to be scanned: 15,000 with a link each, or 15,000 with 16 each, of which most are in the buffer when it is too full.
    @Test func linksThatAreFollowedCount() {
      let middles = Self.sections(of: 4 << 10) { heap in
        let all = heap.newArray(repeating: Link<Middle>(), count: 15_000)
        let shared = heap.new(Middle())
        for index in all.indices {
          let middle = heap.new(Middle())
          middle.next = shared
          all[index] = middle
        }
        return Root(all)
      }
      let wides = Self.sections(of: 64 << 10) { heap in
        let all = heap.newArray(repeating: Link<Wide>(), count: 15_000)
        let shared = heap.new(Middle())
        for index in all.indices {
          let wide = heap.new(Wide())
          for link in 0..<16 { wide.chains[link] = shared }
          all[index] = wide
        }
        return Root(all)
      }
      // For each object 8 for its entry, 8 for each place up to its last link, and 8 for each link's entry: 90 and 60 sections.
      #expect(middles >= 80)
      #expect(wides >= 55)
    }

    /// And in links that are nil: 16 in each of 15,000 objects, and 40 in as many, which their block's record does not tell.
    @Test func whatIsScannedCounts() {
      let wides = Self.sections(of: 64 << 10) { heap in
        let all = heap.newArray(repeating: Link<Wide>(), count: 15_000)
        for index in all.indices { all[index] = heap.new(Wide()) }
        return Root(all)
      }
      let beyonds = Self.sections(of: 64 << 10) { heap in
        let all = heap.newArray(repeating: Link<Beyond>(), count: 15_000)
        for index in all.indices { all[index] = heap.new(Beyond()) }
        return Root(all)
      }
      // The links alone, 8 for each, are 29 sections, and 73.
      #expect(wides >= 28)
      #expect(beyonds >= 70)
    }

    /// And in roots: these fill 64 slabs of 511.
    @Test func rootsThatAreScannedCount() {
      let calls = Self.sections(of: 4 << 10) { heap in
        let middle = heap.new(Middle())
        return Shared((0..<64 * 511).map { _ in Root(middle) })
      }
      #expect(calls >= 60)
    }

    private struct Long {
      var links = Links<32, Long>()
    }

    /// A chain of 10,000 objects, which their first links make; the second link of each leads to one beside it. All other
    /// links, 62 for each step, lead to the same object, and half of them would lie in buffers until the chain's end is
    /// scanned: 300 buffers full of them.
    @Test func buffersAreForObjects() {
      let most = DrivenCollector.run {
        let root = Shared<Root<Long>?>(nil)
        onAnotherStack { heap in
          let (first, shared) = (heap.new(Long()), heap.new(Long()))
          var last = first
          for _ in 0..<10_000 {
            let (next, beside) = (heap.new(Long()), heap.new(Long()))
            last.links[0] = next
            last.links[1] = beside
            for link in 2..<32 { last.links[link] = shared }
            for link in 0..<32 { beside.links[link] = shared }
            last = next
          }
          root.value = Root(first)
        }
        DrivenCollector.begin()
        var most = 0
        while DrivenCollector.mark(64 << 10) {
          most = max(most, heap.pointee.markWork.fullCount.load(ordering: .relaxed))
        }
        DrivenCollector.end()
        return withExtendedLifetime(root.value) { most }
      }
      #expect(most <= 4)
    }

    /// Has as many links as a block's record tells.
    private struct Full {
      var others = Links<8, Full>()
      var beyonds = Links<8, Beyond>()
      var more = Links<8, Full>()
      var leaves = Links<8, Small>()
    }

    /// Has more.
    private struct Beyond {
      var others = Links<40, Middle>()
    }

    @Test func wideObjectsFitIntoTheBuffer() {
      let objects = DrivenCollector.run {
        let root = Shared<Root<Full>?>(nil)
        onAnotherStack { heap in
          let fulls = heap.newArray(repeating: Link<Full>(), count: 3000)
          let beyonds = heap.newArray(repeating: Link<Beyond>(), count: 3000)
          for index in 0..<3000 {
            let (full, beyond) = (heap.new(Full()), heap.new(Beyond()))
            for link in 0..<8 { full.leaves[link] = heap.new(Small(value: 0)) }
            for link in 0..<40 { beyond.others[link] = heap.new(Middle()) }
            fulls[index] = full
            beyonds[index] = beyond
          }
          for index in 0..<3000 {
            let full = fulls[index]!
            for link in 0..<8 {
              full.others[link] = fulls[(16 * index + link + 1) % 3000]!
              full.beyonds[link] = beyonds[(8 * index + link) % 3000]!
              full.more[link] = fulls[(16 * index + link + 9) % 3000]!
            }
          }
          root.value = Root(fulls[0]!)
        }
        DrivenCollector.begin()
        // In one section, as in `theCheckLooksAtEverything`.
        DrivenCollector.mark(1 << 30)
        let extent = Shared(HeapCheck.Extent())
        StopTheWorld.run { m in
          Processors.each { $0.pointee.heap.flush(on: m) }
          extent.value = HeapCheck.check(.afterMarking)
        }
        DrivenCollector.end()
        return withExtendedLifetime(root.value) { extent.value.objects }
      }
      #expect(objects >= 3000 + 3000 + 3000 * 48)
    }

    /// A block's record may have been one of objects without links.
    @Test func piecesAreScannedWhereLeavesLay() {
      let living = DrivenCollector.run {
        onAnotherStack { heap in
          // A block each.
          for _ in 0..<100 { _ = heap.newArray(repeating: 0, count: 4000) }
        }
        DrivenCollector.begin()
        DrivenCollector.end()
        let (root, weak) = (Shared<Root<HeapArray<Link<Middle>>>?>(nil), Shared<[WeakRef<Middle>]>([]))
        onAnotherStack { heap in
          let pieceCount = Int(Marker.piece) / MemoryLayout<Link<Middle>>.size
          let all = heap.newArray(repeating: Link<Middle>(), count: 16 * pieceCount)
          for piece in 0..<16 {
            let middle = heap.new(Middle())
            all[piece * pieceCount] = middle
            weak.value.append(WeakRef(middle))
          }
          root.value = Root(all)
        }
        DrivenCollector.begin()
        DrivenCollector.end()
        return withExtendedLifetime(root.value) { withHeap { heap in weak.value.count { $0.get(heap) != nil } } }
      }
      #expect(living == 16)
    }
  }
}
