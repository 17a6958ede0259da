import Apus
import ApusHeap
import Testing

extension ManagedHeapTests {
  /// The heap's part of `Runtime.metrics`.
  @Suite struct Metrics {
    private static func value(_ name: String) -> UInt64? {
      guard case .integer(let value)? = Runtime.metrics.first(where: { $0.name == name })?.value else { return nil }
      return value
    }

    @Test func theKnobsAreThere() {
      let (percent, limit) = (ManagedHeap.growthPercent, ManagedHeap.memoryLimit)
      defer {
        ManagedHeap.growthPercent = percent
        ManagedHeap.memoryLimit = limit
      }
      ManagedHeap.growthPercent = 150
      ManagedHeap.memoryLimit = 1 << 40
      #expect(Self.value("/gc/gogc:percent") == 150)
      #expect(Self.value("/gc/gomemlimit:bytes") == 1 << 40)
      ManagedHeap.growthPercent = -1
      #expect(Self.value("/gc/gogc:percent") == .max)
    }

    @Test func collectionsAndGarbageAreCounted() throws {
      let forced = try #require(Self.value("/gc/cycles/forced:gc-cycles"))
      let total = try #require(Self.value("/gc/cycles/total:gc-cycles"))
      let freed = try #require(Self.value("/gc/heap/frees:bytes"))
      let roots = try #require(Self.value("/apus/gc/roots:roots"))
      let root = Shared<Root<Node>?>(nil)
      onAnotherStack { heap in
        root.value = Root(heap.new(Node(value: 0)))
        for number in 0..<10_000 { heap.new(Node(value: number)).next = nil }
      }
      #expect(try #require(Self.value("/memory/classes/heap/objects:bytes")) >= 16)
      #expect(Self.value("/apus/gc/roots:roots") == roots + 1)
      ManagedHeap.collect()
      #expect(Self.value("/gc/cycles/forced:gc-cycles") == forced + 1)
      #expect(try #require(Self.value("/gc/cycles/total:gc-cycles")) >= total + 1)
      // A few of them may look as if something referred to them.
      #expect(try #require(Self.value("/gc/heap/frees:bytes")) >= freed + 9000 * 16)
      #expect(try #require(Self.value("/apus/gc/pauses/total:nanoseconds")) > 0)
      root.value = nil
    }
  }
}
