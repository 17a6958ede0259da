import Apus
import ApusHeap
import Testing

extension ManagedHeapTests {
  /// What is found to be garbage, and what is not.
  @Suite struct Collections {
    struct Holder {
      var next = Link<Holder>()
      var tracked: Tracked
      var name: String
    }

    @Test func cyclesAreCollected() {
      let before = Tracked.living
      onAnotherStack { heap in
        for number in 0..<1000 {
          let (a, b) = (
            heap.new(Holder(tracked: Tracked(number), name: "a string that is longer than fifteen bytes")),
            heap.new(Holder(tracked: Tracked(number), name: String(repeating: "b", count: number)))
          )
          a.next = b
          b.next = a
        }
      }
      #expect(Tracked.living == before + 2000)
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before })
    }

    @Test func whatIsReferredToIsNot() {
      let before = Tracked.living
      let seen = withHeap { heap in
        let first = heap.new(Holder(tracked: Tracked(0), name: "0"))
        var last = first
        for number in 1..<1000 {
          let next = heap.new(Holder(tracked: Tracked(number), name: "\(number)"))
          last.next = next
          last = next
        }
        for _ in 0..<3 { ManagedHeap.collect() }
        var number = 0
        var node: Ref<Holder>? = first
        while let current = node {
          if current.tracked.number != number || current.name != "\(number)" { return false }
          number += 1
          node = current.next
        }
        return number == 1000 && Tracked.living == before + 1000
      }
      #expect(seen)
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before })
    }

    struct Wide {
      var first = Link<Node>()
      var words = InlineArray<30, Int>(repeating: 0)
      var last = Link<Node>()
    }

    struct Wider {
      var first = Link<Node>()
      var words = InlineArray<31, Int>(repeating: 0)
      var last = Link<Node>()
    }

    struct Places: Sendable {
      let wide: Root<Wide>
      let wider: Root<Wider>
      let narrow: Root<HeapArray<Link<Node>>>
    }

    @Test func linksAreFoundWhereverTheyAre() {
      // The collector has a bit for each of the first 32 words, and a list of all. On stacks that have ended: what is left
      // of the references to the nodes is found nowhere.
      let places = Shared<Places?>(nil)
      onAnotherStack { heap in
        let (wide, wider) = (heap.new(Wide()), heap.new(Wider()))
        let narrow = heap.newArray(repeating: Link<Node>(), count: 3)
        for value in 1...3 { narrow[value - 1] = heap.new(Node(value: value)) }
        (wide.first, wide.last) = (heap.new(Node(value: 10)), heap.new(Node(value: 20)))
        (wider.first, wider.last) = (heap.new(Node(value: 100)), heap.new(Node(value: 200)))
        places.value = Places(wide: Root(wide), wider: Root(wider), narrow: Root(narrow))
      }
      let sums = Shared<[Int]>([])
      for _ in 0..<2 {
        ManagedHeap.collect()
        onAnotherStack { heap in
          // What was taken for garbage is overwritten.
          for _ in 0..<10_000 { _ = heap.new(Node(value: -1)) }
          let (wide, wider) = (places.value!.wide.get(heap), places.value!.wider.get(heap))
          let narrow = places.value!.narrow.get(heap)
          sums.value.append(wide.first!.value + wide.last!.value)
          sums.value.append(wider.first!.value + wider.last!.value)
          sums.value.append((0..<3).reduce(0) { $0 + narrow[$1]!.value })
        }
      }
      #expect(sums.value == [30, 300, 6, 30, 300, 6])
    }

    @Test func aRootKeepsItsGraph() {
      let before = Tracked.living
      let root = Shared<Root<Holder>?>(nil)
      onAnotherStack { heap in
        let first = heap.new(Holder(tracked: Tracked(1), name: ""))
        first.next = heap.new(Holder(tracked: Tracked(2), name: ""))
        _ = heap.new(Holder(tracked: Tracked(3), name: ""))
        root.value = Root(first)
      }
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before + 2 })
      let number = withHeap { heap in root.value!.get(heap).next?.tracked.number }
      #expect(number == 2)
      root.value = nil
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before })
    }

    @Test func weakReferencesAreCleared() {
      let weak = Shared<[WeakRef<Node>]>([])
      let root = Shared<Root<Node>?>(nil)
      onAnotherStack { heap in
        let (kept, lost) = (heap.new(Node(value: 1)), heap.new(Node(value: 2)))
        root.value = Root(kept)
        weak.value = [WeakRef(kept), WeakRef(kept), WeakRef(lost), WeakRef(lost)]
      }
      let before = withHeap { heap in
        [
          weak.value[0].get(heap)?.value, weak.value[1].get(heap)?.value, weak.value[2].get(heap)?.value,
          weak.value[3].get(heap)?.value,
        ]
      }
      #expect(before == [1, 1, 2, 2])
      ManagedHeap.collect()
      let after = withHeap { heap in
        [
          weak.value[0].get(heap)?.value, weak.value[1].get(heap)?.value, weak.value[2].get(heap)?.value,
          weak.value[3].get(heap)?.value,
        ]
      }
      #expect(after == [1, 1, nil, nil])
      weak.value.removeFirst()
      root.value = nil
      onAnotherStack { _ in }
      ManagedHeap.collect()
      let last = withHeap { heap in weak.value[0].get(heap)?.value }
      #expect(last == nil)
    }

    @Test func aReferenceIntoAnArrayKeepsIt() {
      let before = Tracked.living
      let seen = Shared((number: 0, living: 0))
      onAnotherStack { heap in
        let element = heap.newArray((0..<1000).map { Tracked($0) }).element(500)
        ManagedHeap.collect()
        Goroutine.yield()
        seen.value = (element.number, Tracked.living - before)
      }
      #expect(seen.value == (500, 1000))
      // Other tests count what lives, too.
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before })
    }

    @Test func aDeinitMayUseTheHeapAndWait() {
      final class Reviver: Sendable {
        let ended: Channel<Int>
        init(_ ended: Channel<Int>) { self.ended = ended }
        deinit {
          let value = withHeap { heap in heap.new(Node(value: 5)).value }
          Goroutine.yield()
          ManagedHeap.collect()
          ended.send(value)
        }
      }
      struct Object { var reviver: Reviver }
      let ended = Channel<Int>()
      onAnotherStack { heap in _ = heap.new(Object(reviver: Reviver(ended))) }
      ManagedHeap.collect()
      #expect(ended.receive() == 5)
    }

    @Test func aBlockIsSweptWhileItsObjectsAreDestroyed() {
      final class Waiter: Sendable {
        let (began, goOn) = (Channel<Void>(), Channel<Void>())
        deinit {
          began.send(())
          goOn.receive()
        }
      }
      struct Object {
        var waiter: Waiter?
        var tracked: Tracked
      }
      let before = Tracked.living
      let weak = Shared<[WeakRef<Object>]>([])
      let root = Shared<Root<Object>?>(nil)
      let (began, goOn) = (Shared<Channel<Void>?>(nil), Shared<Channel<Void>?>(nil))
      // All in one block: one that waits when it is destroyed, one that lives, and one that dies meanwhile.
      let later = Shared<Root<Object>?>(nil)
      onAnotherStack { heap in
        let waiter = Waiter()
        (began.value, goOn.value) = (waiter.began, waiter.goOn)
        _ = heap.new(Object(waiter: waiter, tracked: Tracked(1)))
        let (kept, lost) = (heap.new(Object(tracked: Tracked(2))), heap.new(Object(tracked: Tracked(3))))
        root.value = Root(kept)
        later.value = Root(lost)
        weak.value = [WeakRef(kept), WeakRef(lost)]
      }
      ManagedHeap.collect()
      began.value!.receive()
      later.value = nil
      ManagedHeap.collect()
      let seen = withHeap { heap in weak.value.map { $0.get(heap)?.tracked.number } }
      #expect(seen == [2, nil])
      goOn.value!.send(())
      #expect(eventually { Tracked.living == before + 1 })
      root.value = nil
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before })
    }

    @Test func manyGoroutinesAllocateAndCollect() {
      let sums = Channel<Int>(capacity: 16)
      for worker in 0..<8 {
        go(worker) { heap, worker in
          var sum = 0
          for round in 0..<20 {
            let first = heap.new(Node(value: worker))
            var last = first
            for _ in 0..<2000 {
              let next = heap.new(Node(value: worker))
              last.next = next
              last = next
            }
            if round % 5 == worker % 5 { ManagedHeap.collect() }
            var node: Ref<Node>? = first
            while let current = node {
              if current.value != worker { sum = -1_000_000_000 }
              sum += 1
              node = current.next
            }
          }
          sums.send(sum)
        }
      }
      var sum = 0
      for _ in 0..<8 { sum += sums.receive()! }
      #expect(sum == 8 * 20 * 2001)
    }
  }
}
