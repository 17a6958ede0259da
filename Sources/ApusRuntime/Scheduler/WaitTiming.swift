import Synchronization

/// A wait that is timed: a sample of `Latency`, or one while a block profile is on.
///
/// It begins and ends where the goroutine parks, on its own stack; when it was made ready says the mark that it leaves
/// (`Waiter.readyTime`). For how long it was ready then is no part of the wait.
struct WaitTiming {
  /// When it began; 0 where nobody wants to know.
  private let start: Int64
  private let isSampled: Bool
  private let isProfiled: Bool
  private let isForLock: Bool

  init(_ reason: WaitReason, isSampled: Bool) {
    self.isSampled = isSampled
    isProfiled = BlockProfile.isOn && reason.isForOthers
    isForLock = reason.isMutexWait
    start = isProfiled || (isSampled && isForLock) ? Clock.nanotime() : 0
  }

  /// The state of the goroutine meanwhile.
  var status: UInt8 { GStatus.waiting.rawValue | (isSampled ? G.isTimed | G.isSampled : isProfiled ? G.isTimed : 0) }

  /// `g` runs again.
  func end(of g: GRef) {
    if start == 0 { return }
    // A thread that is not the runtime's is woken by the system, and leaves no mark.
    let isForeign = g.pointee.kind == .foreign
    let waited = (isForeign ? Clock.nanotime() : g.pointee.waiter.readyTime) &- start
    if isSampled && isForLock && !isForeign {
      sched.pointee.mutexWait.wrappingAdd(waited &* Latency.period, ordering: .relaxed)
    }
    if isProfiled { BlockProfile.count(waited, of: g) }
  }
}
