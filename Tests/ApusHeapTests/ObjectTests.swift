import Apus
import ApusHeap
import Testing

extension ManagedHeapTests {
  /// Objects and what is in them.
  @Suite struct Objects {
    struct Wide {
      var a = 1
      var pair = (Link<Node>(), 2)
      var children = Links<3, Wide>()
      var name = "wide"
      var inner = Inner()
      var flag = true
    }

    struct Inner {
      var byte: UInt8 = 7
      var link = Link<Node>()
    }

    struct Empty {}

    struct Large {
      var words = [2000 of Int](repeating: 5)
      var link = Link<Node>()
    }

    struct Aligned {
      var vector = SIMD8<Double>(repeating: 1)
      var link = Link<Node>()
    }

    @Test func propertiesReadAndWrite() {
      let seen = withHeap { heap in
        let object = heap.new(Wide())
        object.a += 41
        object.name += "r"
        object.flag.toggle()
        object[\.pair.1] = 9
        return (object.a, object.name, object.flag, object[\.pair.1], object[\.inner.byte])
      }
      #expect(seen == (42, "wider", false, 9, 7))
    }

    @Test func linksReadAndWrite() {
      let seen = withHeap { heap in
        let object = heap.new(Wide())
        let node = heap.new(Node(value: 3))
        var facts = [object[\.pair.0] == nil, object[\.inner.link] == nil, object.children[2] == nil]
        object[\.pair.0] = node
        object[\.inner.link] = node
        object.children[2] = object
        facts += [
          object[\.pair.0] === node, object[\.inner.link] === node, object.children[2] === object,
          object.children[0] == nil, object.children.count == 3, object !== object.children[2]!,
        ]
        object[\.pair.0] = nil
        object.children[2] = nil
        facts += [object[\.pair.0] == nil, object.children[2] == nil]
        return facts
      }
      #expect(seen == [true, true, true, true, true, true, true, true, false, true, true])
    }

    @Test func optionalsCompare() {
      let seen = withHeap { heap in
        let (first, second): (Ref<Node>?, Ref<Node>?) = (heap.new(Node(value: 1)), heap.new(Node(value: 1)))
        let none: Ref<Node>? = nil
        return [first === first, first === second, first === none, none === none, first !== second, first !== first]
      }
      #expect(seen == [true, false, false, true, true, false])
    }

    @Test func emptyLargeAndAlignedObjects() {
      let seen = withHeap { heap in
        let (empty, other) = (heap.new(Empty()), heap.new(Empty()))
        let large = heap.new(Large())
        large.link = large.heap.new(Node(value: 8))
        var isAligned = true
        for _ in 0..<1000 {
          let aligned = heap.new(Aligned())
          aligned.vector += 1
          isAligned = isAligned && aligned.vector[7] == 2
        }
        return (empty !== other, large.words[1999], large.link?.value, isAligned)
      }
      #expect(seen == (true, 5, 8, true))
    }

    @Test func aMillionObjectsKeepTheirValues() {
      let sum = withHeap { heap in
        let first = heap.new(Node(value: 0))
        var last = first
        for value in 1...1_000_000 {
          let node = heap.new(Node(value: value))
          last.next = node
          last = node
        }
        var (sum, count) = (0, 0)
        var node: Ref<Node>? = first
        while let current = node {
          if current.value != count { return -1 }
          sum += current.value
          count += 1
          node = current.next
        }
        return count == 1_000_001 ? sum : -2
      }
      #expect(sum == 500_000_500_000)
    }

    @Test func scopesReturnAndThrow() throws {
      struct Failure: Error, Equatable { var value: Int }
      let sum = withHeap { heap in
        withHeap { inner in heap.new(Node(value: 1)).value + inner.new(Node(value: 2)).value }
      }
      #expect(sum == 3)
      #expect(throws: Failure(value: 5)) {
        try withHeap { (heap) throws(Failure) in
          let node = heap.new(Node(value: 5))
          throw Failure(value: node.value)
        }
      }
    }

    @Test func goroutinesHaveTokens() {
      let results = Channel<Int>()
      go { heap in results.send(heap.new(Node(value: 7)).value) }
      go(35) { heap, argument in results.send(heap.new(Node(value: argument)).value) }
      #expect((results.receive() ?? 0) + (results.receive() ?? 0) == 42)
    }

    @Test func rootsTravel() {
      let roots = Channel<Root<Node>>(capacity: 4)
      onAnotherStack { heap in
        let node = heap.new(Node(value: 11))
        node.next = node
        roots.send(Root(node))
      }
      ManagedHeap.collect()
      let root = roots.receive()!
      let seen = withHeap { heap in (root.get(heap).value, root.get(heap).next === root.get(heap)) }
      #expect(seen == (11, true))
    }
  }
}
