import Apus
import ApusHeap
import Glibc

import struct Synchronization.Atomic

/// Counts what is destroyed late, and does so in the way of the scenario.
private final class Counted: Sendable {
  static let living = Atomic<Int>(0)
  static let most = Atomic<Int>(0)
  static let ended = Atomic<Int>(0)
  /// For how long a `deinit` keeps its thread, and for how long it parks, in microseconds.
  static let stall = Atomic<Int>(0)
  static let sleep = Atomic<Int>(0)

  init() { Self.living.wrappingAdd(1, ordering: .relaxed) }

  deinit {
    let (stall, sleep) = (Self.stall.load(ordering: .relaxed), Self.sleep.load(ordering: .relaxed))
    if stall > 0 { usleep(UInt32(stall)) }
    if sleep > 0 { Goroutine.sleep(for: .microseconds(sleep)) }
    Self.living.wrappingSubtract(1, ordering: .relaxed)
  }
}

private struct CountedHolder {
  let counted = Counted()
  var payload = InlineArray<15, Int>(repeating: 1)
}

/// How dead objects are destroyed beside those who make more of them. False for another scenario.
func runDestruction(_ scenario: String, _ size: Int) -> Bool {
  switch scenario {
  case "garbage": makeGarbage(size, by: 8)
  case "garbage-crowd": makeGarbage(size, by: Int(CommandLine.arguments[3]) ?? 0)
  case "crowd": allocateInCrowd(size, lists: Int(CommandLine.arguments[3]) ?? 0)
  case "crowd-beside-much": allocateBesideMuch(size)
  case "garbage-parks":
    Counted.sleep.store(Int(CommandLine.arguments[3]) ?? 0, ordering: .relaxed)
    makeGarbage(size, by: 8)
  case "garbage-stalls":
    Counted.stall.store(Int(CommandLine.arguments[3]) ?? 0, ordering: .relaxed)
    makeGarbage(size, by: 8)
  default: return false
  }
  return true
}

/// So many goroutines that all are ready at once make lists of 100 objects that nobody keeps; prints how many collections
/// there were, and the most threads that were neither idle nor of goroutines that had run for too long.
private func allocateInCrowd(_ count: Int, lists: Int) {
  let gate = Channel<Int>()
  let ended = WaitGroup()
  for _ in 0..<count {
    ended.add()
    go { heap in
      _ = gate.receive()
      for _ in 0..<lists {
        var list = heap.new(ListNode())
        for _ in 0..<100 {
          let next = heap.new(ListNode())
          next.next = list
          list = next
        }
      }
      let statistics = Runtime.schedulerStatistics
      Counted.most.max(
        statistics.threads - statistics.idleThreads - statistics.preemptedThreads, ordering: .relaxed)
      ended.done()
    }
  }
  Goroutine.sleep(for: .milliseconds(50))
  gate.close()
  ended.wait()
  print(ManagedHeap.statistics.collections, Counted.most.load(ordering: .relaxed))
}

private struct ListNode {
  var next = Link<ListNode>()
  var payload = (1, 2, 3, 4)
}

/// So many goroutines make objects that nobody keeps for two seconds, beside a list of two million that lives; prints how many
/// of them have ended, and how many collections there were.
private func allocateBesideMuch(_ count: Int) {
  let ended = WaitGroup()
  withHeap { heap in
    let first = heap.new(ListNode())
    for _ in 0..<2_000_000 {
      let next = heap.new(ListNode())
      next.next = first.next
      first.next = next
    }
    let root = Root(first)
    let end = ContinuousClock.now + .seconds(2)
    for _ in 0..<count {
      ended.go {
        withHeap { heap in
          while ContinuousClock.now < end {
            for _ in 0..<1000 { _ = heap.new(ListNode()) }
          }
        }
        Counted.ended.wrappingAdd(1, ordering: .relaxed)
      }
    }
    ended.wait()
    withExtendedLifetime(root) {}
  }
  print(Counted.ended.load(ordering: .relaxed), ManagedHeap.statistics.collections)
}

/// The mutators make so many objects of 128 bytes that nobody keeps; prints the most that lived at once, and how
/// many of them were seen to wait for destruction at once.
private func makeGarbage(_ size: Int, by mutators: Int) {
  for _ in 0..<mutators {
    go { heap in
      for _ in 0..<size / mutators / 100 {
        for _ in 0..<100 { _ = heap.new(CountedHolder()) }
        Counted.most.max(Counted.living.load(ordering: .relaxed), ordering: .relaxed)
      }
      Counted.ended.wrappingAdd(1, ordering: .relaxed)
    }
  }
  var mostWaiting = 0
  repeat {
    let waiting = Runtime.dump().split(separator: "\n").count { $0.contains("[GC cleanup assist wait") }
    mostWaiting = max(mostWaiting, waiting)
    Goroutine.sleep(for: .milliseconds(1))
  } while Counted.ended.load(ordering: .relaxed) < mutators
  print(Counted.most.load(ordering: .relaxed), mostWaiting)
}
