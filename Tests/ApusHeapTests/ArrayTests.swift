import Apus
import ApusHeap
import Testing

extension ManagedHeapTests {
  /// Managed arrays.
  @Suite struct Arrays {
    struct Entry {
      var key: Int
      var node = Link<Node>()
      var others = Links<2, Node>()
    }

    @Test(arguments: [0, 1, 2, 7, 100, 1_300, 5_000, 300_000])
    func plainElements(count: Int) {
      let seen = withHeap { heap in
        let array = heap.newArray((0..<count).map { $0 * 3 })
        for index in array.indices { array[index] += 1 }
        var isRight = array.count == count
        for index in array.indices where array[index] != index * 3 + 1 { isRight = false }
        let sum = array.withUnsafeMutableElements { $0.reduce(0, +) }
        return isRight && sum == count * (count - 1) / 2 * 3 + count
      }
      #expect(seen)
    }

    @Test(arguments: [1, 50, 2_000, 100_000])
    func linksAreKept(count: Int) {
      let seen = withHeap { heap in
        let array = heap.newArray(repeating: Link<Node>(), count: count)
        for index in 0..<count { array[index] = heap.new(Node(value: index)) }
        ManagedHeap.collect()
        // What is allocated now would overwrite nodes that were taken for garbage.
        for index in 0..<count { _ = heap.new(Node(value: -index)) }
        for index in 0..<count where array[index]?.value != index { return false }
        array[0] = nil
        return array[0] == nil
      }
      #expect(seen)
    }

    @Test func structuresWithLinks() {
      let seen = withHeap { heap in
        let array = heap.newArray((0..<500).map { Entry(key: $0) })
        for index in array.indices {
          array.element(index).node = heap.new(Node(value: index))
          array.element(index).others[1] = heap.new(Node(value: -index))
        }
        ManagedHeap.collect()
        for _ in 0..<2000 { _ = heap.new(Node(value: 0)) }
        for index in array.indices {
          let entry = array.element(index)
          if entry.key != index || entry.node?.value != index || entry.others[1]?.value != -index { return false }
        }
        return true
      }
      #expect(seen)
    }

    /// 20 bytes, which are no divisor of a piece's.
    private struct Odd {
      var first: UInt8 = 1
      var pair = (Link<Node>(), 2 as UInt16, Link<Node>())
      var last: UInt8 = 3
    }

    /// Arrays that are scanned in several pieces (`Marker.piece`), in which elements begin anywhere, and arrays that just are
    /// or are not.
    @Test(arguments: [1637, 1638, 1639, 20_000])
    func structuresWithLinksInPieces(count: Int) {
      let seen = withHeap { heap in
        let array = heap.newArray(repeating: Odd(), count: count)
        for index in array.indices {
          let odd = array.element(index)
          odd[\.pair.0] = heap.new(Node(value: index))
          odd[\.pair.1] += 5
          odd[\.pair.2] = heap.new(Node(value: -index))
        }
        ManagedHeap.collect()
        for _ in 0..<2 * count { _ = heap.new(Node(value: 0)) }
        for index in array.indices {
          let odd = array.element(index)
          if odd[\.pair.0]?.value != index || odd[\.pair.2]?.value != -index { return false }
          if odd.first != 1 || odd[\.pair.1] != 7 || odd.last != 3 { return false }
        }
        return MemoryLayout<Odd>.stride == 20
      }
      #expect(seen)
    }

    @Test func elementsThatAreCounted() {
      let before = Tracked.living
      onAnotherStack { heap in
        _ = heap.newArray((0..<100).map { Tracked($0) })
        _ = heap.newArray((0..<5_000).map { Tracked($0) })
      }
      #expect(Tracked.living == before + 5_100)
      ManagedHeap.collect()
      #expect(eventually { Tracked.living == before })
    }

    @Test func wideElementsAreAligned() {
      let seen = withHeap { heap in
        [1, 3, 10, 100, 1000].map { count in
          let array = heap.newArray(repeating: SIMD8<Double>(repeating: 2), count: count)
          let remainder = array.withUnsafeMutableElements { UInt(bitPattern: $0.baseAddress) % 16 }
          return remainder == 0 && array[count - 1].sum() == 16 ? 0 : Int(remainder) + 1
        }
      }
      #expect(seen == [0, 0, 0, 0, 0])
    }
  }
}
