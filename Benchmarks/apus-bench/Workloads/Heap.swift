import Apus
import ApusHeap

import struct Synchronization.Atomic

/// The binary trees of the benchmarks game, a goroutine for each depth: small objects that live for a short time, beside a
/// tree that stays. An operation is one node made and counted.
func binaryTrees(_ options: Options) {
  let size = options.size ?? 16
  let least = 4
  let tally = TreeTally()
  let start = nanoseconds()
  var operations = 0
  withHeap { heap in
    operations += Tree.makeAndCount(heap, depth: size + 1)
    let long = heap.new(Tree())
    Tree.fill(long, depth: size)
    operations += 1 << (size + 1) - 1
    for depth in stride(from: least, through: size, by: 2) {
      tally.group.add()
      go { heap in
        var count = 0
        for _ in 0..<(1 << (size - depth + least)) { count += Tree.makeAndCount(heap, depth: depth) }
        tally.nodes.wrappingAdd(count, ordering: .relaxed)
        tally.group.done()
      }
    }
    tally.group.wait()
    precondition(Tree.count(long) == 1 << (size + 1) - 1, "binary_trees: the long-lived tree has changed")
  }
  let duration = nanoseconds() - start
  operations += tally.nodes.load(ordering: .relaxed)
  let total = decimal(Double(duration) / 1e6, places: 1)
  report("binary_trees", options, size: size, duration: duration, operations: operations, "total_ms=\(total)")
}

private final class TreeTally: Sendable {
  let group = WaitGroup()
  let nodes = Atomic<Int>(0)
}

private struct Tree {
  var left = Link<Tree>()
  var right = Link<Tree>()

  static func fill(_ tree: Ref<Tree>, depth: Int) {
    if depth == 0 { return }
    let (left, right) = (tree.heap.new(Tree()), tree.heap.new(Tree()))
    fill(left, depth: depth - 1)
    fill(right, depth: depth - 1)
    tree.left = left
    tree.right = right
  }

  static func count(_ tree: Ref<Tree>) -> Int {
    guard let left = tree.left, let right = tree.right else { return 1 }
    return 1 + count(left) + count(right)
  }

  static func makeAndCount(_ heap: HeapToken, depth: Int) -> Int {
    let tree = heap.new(Tree())
    fill(tree, depth: depth)
    let count = count(tree)
    precondition(count == 1 << (depth + 1) - 1, "binary_trees: a tree has lost nodes")
    return count
  }
}

/// A graph that changes all the time: 100,000 nodes with four edges each. A step follows an edge, and turns another one of
/// the node towards a random node; every 64th step a node is replaced by a new one. An operation is one step; `-n` steps
/// in all, by one goroutine a processor.
func graph(_ options: Options) {
  let size = options.size ?? 30_000_000
  let count = 100_000
  let walkers = options.procs
  let tally = TreeTally()
  let start = nanoseconds()
  withHeap { heap in
    let nodes = heap.newArray(repeating: Link<GraphNode>(), count: count)
    for index in 0..<count { nodes[index] = heap.new(GraphNode(value: index)) }
    let root = Root(nodes)
    for walker in 0..<walkers {
      tally.group.add()
      go { heap in
        let visited = GraphNode.walk(root.get(heap), steps: size / walkers, seed: UInt64(walker + 1))
        tally.nodes.wrappingAdd(visited, ordering: .relaxed)
        tally.group.done()
      }
    }
    tally.group.wait()
  }
  let duration = nanoseconds() - start
  let total = decimal(Double(duration) / 1e6, places: 1)
  report(
    "graph", options, size: size, duration: duration, operations: size,
    "total_ms=\(total) sum=\(tally.nodes.load(ordering: .relaxed))")
}

private struct GraphNode {
  var edges = Links<4, GraphNode>()
  var value: Int

  static func walk(_ nodes: Ref<HeapArray<Link<GraphNode>>>, steps: Int, seed: UInt64) -> Int {
    let count = UInt64(nodes.count)
    var random = seed &* 0x9e37_79b9_7f4a_7c15
    var current = nodes[0]!
    var sum = 0
    for step in 0..<steps {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      let other = Int((random >> 32) % count)
      sum &+= current.value
      current.edges[Int(random >> 2 & 3)] = nodes[other]
      if step & 63 == 0 { nodes[other] = nodes.heap.new(GraphNode(value: other)) }
      if let next = current.edges[Int(random & 3)] { current = next } else { current = nodes[other]! }
    }
    return sum
  }
}

/// How long the world stands still: 100 MB of small objects that live, `-n` goroutines that work on them and make garbage,
/// for two seconds. An operation is one pause; the figures are of the time in which no goroutine could run.
func heapPauses(_ options: Options) {
  let size = options.size ?? 1000
  let tally = TreeTally()
  let start = nanoseconds()
  let end = start + options.seconds * 1_000_000_000
  withHeap { heap in
    // 4,000 lists of 650 nodes of 40 bytes.
    let lists = heap.newArray(repeating: Link<ListNode>(), count: 4000)
    for index in lists.indices {
      let first = heap.new(ListNode())
      lists[index] = first
      for _ in 1..<650 { first.insert() }
    }
    let root = Root(lists)
    for number in 0..<size {
      tally.group.add()
      go { heap in
        var random = UInt64(number + 1)
        while nanoseconds() < end {
          random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          let lists = root.get(heap)
          lists[Int(random >> 33) % lists.count]!.replaceNext()
          Goroutine.yield()
        }
        tally.group.done()
      }
    }
    tally.group.wait()
  }
  let statistics = ManagedHeap.statistics
  let pauses = statistics.recentPauses.map { Double($0 / .nanoseconds(1)) / 1000 }.sorted()
  precondition(!pauses.isEmpty, "heap_pauses: no collection")
  func percentile(_ share: Double) -> String { decimal(pauses[Int(Double(pauses.count - 1) * share)], places: 0) }
  report(
    "heap_pauses", options, size: size, duration: nanoseconds() - start, operations: pauses.count,
    "collections=\(statistics.collections) pause_p50_us=\(percentile(0.5)) pause_p99_us=\(percentile(0.99)) "
      + "pause_max_us=\(percentile(1)) live_mb=\(statistics.objectBytes >> 20)")
}

private struct ListNode {
  var next = Link<ListNode>()
  var payload = (1, 2, 3, 4)
}

extension Ref where Object == ListNode {
  /// Puts a new node behind this one.
  fileprivate func insert() {
    let node = heap.new(ListNode())
    node.next = self.next
    self.next = node
  }

  /// Puts new nodes in the place of the next ten.
  fileprivate func replaceNext() {
    var rest = self.next
    for _ in 0..<10 { rest = rest?.next }
    self.next = rest
    for _ in 0..<10 { insert() }
  }
}
