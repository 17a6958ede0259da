import Apus

import struct Synchronization.Atomic

/// A count that goroutines share.
final class SharedCount: Sendable {
  private let count = Atomic<Int>(0)
  func add() { count.wrappingAdd(1, ordering: .relaxed) }
  var value: Int { count.load(ordering: .relaxed) }
}

/// Gives the other goroutines the time to come to where they wait. Where they have not, the test tests less, and holds.
func letOthersRun() {
  for _ in 0..<20 { Goroutine.yield() }
  Goroutine.sleep(for: .milliseconds(1))
}

extension Channel where Element == ContinuousClock.Instant {
  /// Whether nothing can be received now; receives what can.
  var isEmptyNow: Bool {
    if case .empty = tryReceive() { return true }
    return false
  }
}
