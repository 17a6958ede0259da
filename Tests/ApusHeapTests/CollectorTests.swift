import Apus
import Testing

import struct Synchronization.Atomic

@testable import ApusHeap
@testable import ApusRuntime

extension ManagedHeapTests {
  /// What keeps objects alive that move while the collector marks. Each of these fails with the mechanism taken out.
  @Suite struct Moving {
    struct Chain {
      var next = Link<Chain>()
      var other = Link<Chain>()
      var number: Int
    }

    /// A chain from a root; its last object has another beside it, which nothing else refers to.
    final class Setting: Sendable {
      let root: Root<Chain>
      let weak: WeakRef<Chain>

      init(_ heap: HeapToken, length: Int) {
        let first = heap.new(Chain(number: 0))
        var last = first
        for number in 1..<length {
          let next = heap.new(Chain(number: number))
          last.next = next
          last = next
        }
        let payload = heap.new(Chain(number: -1))
        last.other = payload
        root = Root(first)
        weak = WeakRef(payload)
      }

      static func make(length: Int) -> Setting {
        let setting = Shared<Setting?>(nil)
        onAnotherStack { heap in setting.value = Setting(heap, length: length) }
        return setting.value!
      }

      /// Takes the payload from the chain, tells `done`, and has it on this stack and nowhere else until `steps`. Then it puts
      /// it back, and tells `done` again.
      func keepPayloadOnStack(_ heap: HeapToken, until steps: Channel<Void>, telling done: Channel<Void>) {
        withEnds(heap) { first, last in
          let payload = last.other!
          last.other = nil
          done.send(())
          steps.receive()
          first.other = payload
        }
        done.send(())
      }

      /// Calls `body` with the first and the last object of the chain.
      func withEnds(_ heap: HeapToken, _ body: (Ref<Chain>, Ref<Chain>) -> Void) {
        let first = root.get(heap)
        var last = first
        while let next = last.next { last = next }
        body(first, last)
      }

      /// Whether the payload was found to live.
      func payloadLives() -> Bool {
        withHeap { heap in weak.get(heap)?.number == -1 }
      }
    }

    @Test func theBarrierKeepsWhatMovesBehindTheCollector() {
      let lives = DrivenCollector.run {
        let setting = Setting.make(length: 5000)
        DrivenCollector.begin()
        // The first objects are scanned, the last ones are not.
        DrivenCollector.mark(100 * 24)
        onAnotherStack { heap in
          setting.withEnds(heap) { first, last in
            first.other = last.other
            last.other = nil
          }
        }
        DrivenCollector.end()
        return setting.payloadLives()
      }
      #expect(lives)
    }

    @Test func theSecondLookKeepsWhatOnlyAStackHas() {
      let lives = DrivenCollector.run {
        let setting = Setting.make(length: 5000)
        let (steps, done) = (Channel<Void>(), Channel<Void>())
        go { heap in
          steps.receive()
          setting.keepPayloadOnStack(heap, until: steps, telling: done)
        }
        Goroutine.yield()
        DrivenCollector.begin()
        DrivenCollector.mark(100 * 24)
        steps.send(())
        done.receive()
        Goroutine.yield()
        DrivenCollector.end()
        let lives = setting.payloadLives()
        if lives {
          steps.send(())
          done.receive()
        }
        return lives
      }
      #expect(lives)
    }

    @Test func aStackThatWasScannedAndRanIsScannedAgain() {
      // As before, but the goroutine is in its scope and parked when the cycle begins, so that it is scanned first.
      let lives = DrivenCollector.run {
        let setting = Setting.make(length: 5000)
        let (steps, done) = (Channel<Void>(), Channel<Void>())
        go { heap in
          setting.withEnds(heap) { first, last in
            done.send(())
            steps.receive()
            let payload = last.other!
            last.other = nil
            done.send(())
            steps.receive()
            first.other = payload
          }
          done.send(())
        }
        done.receive()
        Goroutine.yield()
        DrivenCollector.begin()
        steps.send(())
        done.receive()
        Goroutine.yield()
        DrivenCollector.end()
        let lives = setting.payloadLives()
        if lives {
          steps.send(())
          done.receive()
        }
        return lives
      }
      #expect(lives)
    }

    @Test func everyCycleHasItsStamp() {
      // What a state that was just written has besides: nothing.
      for cycle: UInt32 in [0, 1, 0xff_fffe, 0xff_ffff, 0x100_0000, .max] {
        #expect(G.scanStamp(cycle: cycle) & G.scanMask != 0)
        #expect(G.scanStamp(cycle: cycle) & ~G.scanMask == 0)
        #expect(G.scanStamp(cycle: cycle) != G.scanStamp(cycle: cycle &+ 1) || cycle == .max)
      }
    }

    @Test func newObjectsLiveThroughTheirCycle() {
      let seen = DrivenCollector.run {
        let holder = Shared<(root: Root<Chain>, weak: WeakRef<Chain>)?>(nil)
        let setting = Setting.make(length: 100)
        DrivenCollector.begin()
        onAnotherStack { heap in
          let (kept, lost) = (heap.new(Chain(number: 1)), heap.new(Chain(number: 2)))
          kept.next = heap.new(Chain(number: 3))
          holder.value = (Root(kept), WeakRef(lost))
        }
        DrivenCollector.end()
        let first = withHeap { heap in
          (holder.value!.weak.get(heap)?.number, holder.value!.root.get(heap).next?.number)
        }
        DrivenCollector.begin()
        DrivenCollector.end()
        let second = withHeap { heap in
          (holder.value!.weak.get(heap)?.number, holder.value!.root.get(heap).next?.number)
        }
        return [first.0, first.1, second.0, second.1] + [setting.payloadLives() ? 1 : 0]
      }
      #expect(seen == [2, 3, nil, 3, 1])
    }

    @Test func theCheckLooksAtEverything() {
      let seen = DrivenCollector.run {
        let setting = Setting.make(length: 5000)
        DrivenCollector.begin()
        // In one section: between two of them the goroutine may get another P, and what is grey stay with the first.
        DrivenCollector.mark(1 << 30)
        let extent = Shared(HeapCheck.Extent())
        StopTheWorld.run { m in
          for index in 0..<Int(sched.pointee.processorsMade.load(ordering: .acquiring)) {
            sched.pointee.allP[index]!.pointee.heap.flush(on: m)
          }
          extent.value = HeapCheck.check(.afterMarking)
        }
        DrivenCollector.end()
        return extent.value.objects >= 5001 && extent.value.blocks >= 3 && setting.payloadLives()
      }
      #expect(seen)
    }

    @Test func whatAMarkerWasAboutToScanIsFoundByTheNext() {
      let living = DrivenCollector.run {
        let (root, weak) = (Shared<Root<HeapArray<Link<Chain>>>?>(nil), Shared<[WeakRef<Chain>]>([]))
        onAnotherStack { heap in
          // Each refers to one that nothing else refers to.
          let array = heap.newArray(repeating: Link<Chain>(), count: 200)
          for index in array.indices {
            let (first, second) = (heap.new(Chain(number: index)), heap.new(Chain(number: index)))
            first.next = second
            array[index] = first
            weak.value.append(WeakRef(second))
          }
          root.value = Root(array)
        }
        DrivenCollector.begin()
        while DrivenCollector.mark(1) {}
        DrivenCollector.end()
        return withHeap { heap in weak.value.count { $0.get(heap) != nil } }
      }
      #expect(living == 200)
    }
  }

  /// How fast the collector is to be.
  @Suite struct Pacing {
    @Test func whoAllocatesHelps() {
      // No worker marks: only those who allocate can end a cycle, and they have to before the heap is far beyond its goal.
      Collector.collector.pointee.workersAreOff.store(true, ordering: .sequentiallyConsistent)
      defer {
        Collector.collector.pointee.workersAreOff.store(false, ordering: .sequentiallyConsistent)
        MarkWorkers.wake()
      }
      let before = ManagedHeap.statistics.collections
      let worst = withHeap { heap in
        let first = heap.new(Node(value: 0))
        var last = first
        for value in 1..<500_000 {
          let next = heap.new(Node(value: value))
          last.next = next
          last = next
        }
        var worst = 0.0
        for round in 0..<4_000_000 {
          _ = heap.new(Node(value: round))
          if round % 1000 == 0 {
            let statistics = ManagedHeap.statistics
            worst = max(worst, Double(statistics.objectBytes) / Double(statistics.goal))
          }
        }
        return first.value == 0 ? worst : 100
      }
      #expect(worst < 1.25)
      #expect(ManagedHeap.statistics.collections > before + 2)
    }

    @Test(arguments: [1, 2, 8]) func aCycleBeginsBeforeTheHeapIsBeyondItsGoal(processors: Int) {
      let before = Runtime.maxProcs
      Runtime.maxProcs = processors
      defer { Runtime.maxProcs = before }
      let worst = Mutex(0.0)
      let group = WaitGroup()
      for _ in 0..<6 {
        group.add()
        go { heap in
          let pacer = withUnsafePointer(to: &ApusRuntime.heap.pointee.pacer) { $0 }
          let kept = heap.new(Node(value: 0))
          for value in 0..<20_000 {
            let next = heap.new(Node(value: value))
            next.next = kept.next
            kept.next = next
          }
          for round in 0..<2_000_000 {
            _ = heap.new(Node(value: round))
            if round % 100 != 0 { continue }
            let goal = pacer.pointee.goal.load(ordering: .sequentiallyConsistent)
            let live = pacer.pointee.live.load(ordering: .sequentiallyConsistent)
            // Not where a cycle ends between the two.
            if goal != pacer.pointee.goal.load(ordering: .sequentiallyConsistent) { continue }
            worst.withLock { $0 = max($0, Double(live) / Double(goal)) }
          }
          group.done()
        }
      }
      group.wait()
      #expect(worst.withLock { $0 } < 1.25)
    }

    @Test func workersMarkWhileOthersWait() {
      Collector.collector.pointee.assistsAreOff.store(true, ordering: .sequentiallyConsistent)
      defer { Collector.collector.pointee.assistsAreOff.store(false, ordering: .sequentiallyConsistent) }
      let before = ManagedHeap.statistics
      withHeap { heap in
        let first = heap.new(Node(value: 0))
        for value in 1..<100_000 {
          let next = heap.new(Node(value: value))
          next.next = first.next
          first.next = next
        }
        ManagedHeap.collect()
      }
      let after = ManagedHeap.statistics
      #expect(after.forcedCollections > before.forcedCollections)
      #expect(after.markTime > before.markTime)
    }

    @Test func goalsFollowTheKnobs() {
      var pacer = Pacer()
      pacer.configure(percent: 100, limit: .max)
      #expect(pacer.goal.load(ordering: .relaxed) == 8 << 20)
      pacer.begin()
      pacer.live.store(30 << 20, ordering: .relaxed)
      pacer.end(marked: 20 << 20, elapsed: 1_000_000, stacks: 0, now: 1_000_000)
      #expect(pacer.goal.load(ordering: .relaxed) == 40 << 20)
      let trigger = pacer.trigger.load(ordering: .relaxed)
      #expect(trigger >= 34 << 20 && trigger <= 39 << 20)
      pacer.configure(percent: 50, limit: .max)
      #expect(pacer.goal.load(ordering: .relaxed) == 30 << 20)
      pacer.configure(percent: -1, limit: .max)
      #expect(pacer.goal.load(ordering: .relaxed) == Self.mostOfTheArena)
      pacer.configure(percent: Int(Int32.max), limit: .max)
      #expect(pacer.goal.load(ordering: .relaxed) == Self.mostOfTheArena)
    }

    private static var mostOfTheArena: Int { heap.pointee.arena.blockLimit * HeapGeometry.blockSize / 16 * 15 }

    @Test func smallPercentagesAreKept() {
      var pacer = Pacer()
      pacer.configure(percent: 2, limit: .max)
      pacer.begin()
      pacer.end(marked: 100 << 20, elapsed: 1_000_000, stacks: 0, now: 1_000_000)
      #expect(pacer.goal.load(ordering: .relaxed) == 102 << 20)
    }

    @Test func theGoalIsInTheArena() {
      var pacer = Pacer()
      pacer.configure(percent: 100, limit: .max)
      pacer.begin()
      pacer.end(marked: 20 << 30, elapsed: 1_000_000, stacks: 0, now: 1_000_000)
      #expect(pacer.goal.load(ordering: .relaxed) == Self.mostOfTheArena)
      // Never below what lives.
      pacer.begin()
      pacer.end(marked: Self.mostOfTheArena, elapsed: 1_000_000, stacks: 0, now: 2_000_000)
      #expect(pacer.goal.load(ordering: .relaxed) > Self.mostOfTheArena)
    }

    @Test func aLimitLowersTheGoal() {
      var pacer = Pacer()
      pacer.configure(percent: -1, limit: 1 << 33)
      let goal = pacer.goal.load(ordering: .relaxed)
      #expect(goal < 1 << 33 && goal > 1 << 32)
      pacer.begin()
      // Never below what lives.
      pacer.end(marked: 1 << 34, elapsed: 1_000_000, stacks: 0, now: 1_000_000)
      #expect(pacer.goal.load(ordering: .relaxed) > 1 << 34)
    }

    @Test func debtAsksForMarking() {
      var pacer = Pacer()
      pacer.configure(percent: 100, limit: .max)
      pacer.live.store(20 << 20, ordering: .relaxed)
      pacer.begin()
      pacer.end(marked: 20 << 20, elapsed: 1_000_000, stacks: 0, now: 1_000_000)
      pacer.live.store(36 << 20, ordering: .relaxed)
      pacer.begin()
      // 22 MB may have to be marked while 4 MB are allocated.
      #expect(pacer.assistRatio > 5 && pacer.assistRatio < 6)
      pacer.marked.store(20 << 20, ordering: .relaxed)
      pacer.revise()
      #expect(pacer.assistRatio < 1)
    }
  }
}
