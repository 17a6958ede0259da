import Apus
import ApusHeap

import struct Synchronization.Atomic

@testable import ApusRuntime

/// A collector that a test takes through a cycle step by step: none begins by itself, no worker marks, and nobody who
/// allocates helps.
enum DrivenCollector {
  /// Runs `body` on a goroutine that has no references, after a whole collection.
  static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) -> Value {
    ManagedHeap.collect()
    let collector = Collector.collector
    collector.pointee.isAutomatic.store(false, ordering: .sequentiallyConsistent)
    collector.pointee.workersAreOff.store(true, ordering: .sequentiallyConsistent)
    collector.pointee.assistsAreOff.store(true, ordering: .sequentiallyConsistent)
    // A worker that was woken for the cycle before and comes late would mark in this one.
    while !MarkWorkers.areAtRest { Goroutine.yield() }
    defer {
      collector.pointee.isAutomatic.store(true, ordering: .sequentiallyConsistent)
      collector.pointee.workersAreOff.store(false, ordering: .sequentiallyConsistent)
      collector.pointee.assistsAreOff.store(false, ordering: .sequentiallyConsistent)
      ManagedHeap.collect()
    }
    let value = Shared<Value?>(nil)
    let group = WaitGroup()
    group.go { value.value = body() }
    group.wait()
    return value.value!
  }

  /// Begins a cycle.
  static func begin() { precondition(Collector.start(.forced), "a cycle was on") }

  /// Marks about `bytes`; false when there was nothing left.
  @discardableResult
  static func mark(_ bytes: Int) -> Bool {
    var hasMore = true
    _ = Assist.mark(bytes, leavesRest: false, &hasMore)
    return hasMore
  }

  /// Marks what is left, looks at the stacks again, and ends the cycle.
  static func end() {
    while mark(1 << 20) {}
    while !Collector.finish(waits: true) {
      while mark(1 << 20) {}
    }
    Sweeper.finish()
  }
}
