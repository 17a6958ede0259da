import Synchronization

/// A wait that is timed: a sample of `Latency`.
///
/// It begins and ends where the goroutine parks, on its own stack; when it was made ready says the mark that it leaves
/// (`Waiter.readyTime`).
struct WaitTiming {
  /// When it began; 0 where nobody wants to know.
  private let start: Int64

  init(_ reason: WaitReason) {
    start = reason.isMutexWait ? Clock.nanotime() : 0
  }

  /// The state of the goroutine meanwhile.
  var status: UInt8 { GStatus.waiting.rawValue | G.isTimed | G.isSampled }

  /// `g` runs again.
  func end(of g: GRef) {
    if start == 0 || g.pointee.kind == .foreign { return }
    let waited = g.pointee.waiter.readyTime &- start
    sched.pointee.mutexWait.wrappingAdd(waited &* Latency.period, ordering: .relaxed)
  }
}
