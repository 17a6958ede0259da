import Apus
import ApusHeap
import ApusRuntime

import struct Synchronization.Atomic

struct Node {
  var next = Link<Node>()
  var numbers: InlineArray<12, Int> = .init(repeating: 0)
}

/// A list of so many nodes.
@inline(never)
func makeList(_ heap: HeapToken, _ count: Int) -> Root<Node> {
  let first = heap.new(Node())
  for _ in 1..<count {
    let node = heap.new(Node())
    node.next = first.next
    first.next = node
  }
  return Root(first)
}

/// Collections of a heap that takes a while to mark, while others pass numbers: until a generation of the trace has begun
/// in the midst of one, and others have helped with five.
func collectBesideOthers() {
  TraceOfRun.setGenerationSize(1)
  let kept = withHeap { heap in makeList(heap, 150_000) }
  let isOver = Flag()
  let group = WaitGroup()
  for _ in 0..<2 {
    group.go { while !isOver.value.load(ordering: .relaxed) { passNumbers(1000) } }
  }
  var first: UInt64
  repeat {
    first = TraceOfRun.generation
    ManagedHeap.collect()
  } while TraceOfRun.generation < first + 2
  isOver.value.store(true, ordering: .relaxed)
  group.wait()
  ManagedHeap.growthPercent = 10
  let before = ManagedHeap.statistics.collections
  let makers = WaitGroup()
  for _ in 0..<4 {
    makers.go {
      withHeap { heap in
        while ManagedHeap.statistics.collections < before + 5 { _ = makeList(heap, 5_000) }
      }
    }
  }
  makers.wait()
  withHeap { heap in _ = kept.get(heap) }
}
