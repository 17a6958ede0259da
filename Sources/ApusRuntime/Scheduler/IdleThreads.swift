import Synchronization

/// Idle threads beyond a handful end after a while (Go's never do): a burst of goroutines that blocked, or ran for long,
/// leaves no crowd of threads behind.
///
/// A thread that is one too many ends when nobody has wanted it for `patience`; or, since a program that wakes up now and then
/// may use another of them each time, as soon as it goes idle and there has been an idle thread whenever one was wanted, for
/// as long.
enum IdleThreads {
  /// Nanoseconds.
  private static var patience: Int64 { 3_000_000_000 }

  /// How many threads a program at rest keeps: one for each P, and two for a burst. With sysmon and the template thread
  /// the process has at most `maxProcs` + 4.
  private static var kept: Int64 { Int64(sched.pointee.maxProcs.load(ordering: .relaxed)) + 2 }

  /// Whether there are more. The caller holds `Sched.lock`.
  static var areTooMany: Bool { sched.pointee.threadCount > kept }

  /// Whether there have been for long. The caller holds `Sched.lock`.
  static var haveBeenTooMany: Bool {
    areTooMany && Clock.nanotime() &- sched.pointee.lastShortage > patience
  }

  enum Outcome {
    /// It was woken: a P was handed over.
    case wanted
    /// Nobody has wanted it, and `M.exiting` says so.
    case ends
    /// It is to sleep on.
    case stays
  }

  /// The thread of `m`, on the idle list, sleeps for a while.
  static func wait(_ m: MRef) -> Outcome {
    if m.sleep(nanoseconds: patience) { return .wanted }
    sched.pointee.lock.lock(m)
    defer { sched.pointee.lock.unlock(m) }
    // Off the list it was taken by somebody who wakes it.
    guard areTooMany, m.pointee.id != 0, IdleLists.remove(m) else { return .stays }
    m.pointee.exiting = true
    return .ends
  }
}
