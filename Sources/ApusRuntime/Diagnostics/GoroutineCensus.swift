import CApus
import Synchronization

/// How many goroutines there are, and in which state: without stopping anybody, so that one that changes its state meanwhile
/// is counted in either, and the parts need not add up to the whole.
package struct GoroutineCensus: Sendable {
  package private(set) var running: UInt64 = 0
  package private(set) var runnable: UInt64 = 0
  package private(set) var waiting: UInt64 = 0
  /// All that ever were.
  package private(set) var created: UInt64 = 0

  /// Looks at the record of every goroutine that lives: some nanoseconds each. The runtime's own are not counted.
  package static func now() -> GoroutineCensus {
    let m = currentM()
    var census = GoroutineCensus()
    GoroutineRegistry.eachRecord(of: GoroutineRegistry.lockedSlabs(m)) { g in
      if g.pointee.kind != .user { return }
      switch g.pointee.status {
      case .running: census.running += 1
      case .runnable: census.runnable += 1
      case .waiting: census.waiting += 1
      case .dead: break
      }
    }
    census.created = countCreated()
    return census
  }

  /// By their numbers: each P has taken some that it has not given out yet.
  private static func countCreated() -> UInt64 {
    var left: UInt64 = 0
    for index in 0..<Int(sched.pointee.processorsMade.load(ordering: .acquiring)) {
      guard let p = sched.pointee.allP[index] else { break }
      // The holder's own: words that may be old, never torn.
      let next = withUnsafePointer(to: &p.pointee.nextID) { apus_peek_word($0) }
      let last = withUnsafePointer(to: &p.pointee.lastID) { apus_peek_word($0) }
      left &+= UInt64(last &- min(next, last))
    }
    // Goroutine 1 has used up a number besides its own.
    let taken = sched.pointee.nextID.load(ordering: .relaxed) &- (Sched.mainID + 1)
    return taken &- min(left, taken)
  }
}
