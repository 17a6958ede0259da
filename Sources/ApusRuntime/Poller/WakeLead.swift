/// By how much earlier a thread that waits for a time asks the kernel to wake it.
///
/// It is to cover how late the kernel is, but for one time of 128: an average would be too little every other time, and it
/// is the late ones that are to be avoided. Such a quantile needs no record of what was: a step up when a wake-up was
/// later, a 127th of it down when it was not. Where the two are in balance, one of 128 is later.
///
/// It costs the time between the wake-up and the one that is waited for, spent spinning: some 60 microseconds on a virtual
/// machine where the kernel is late by 40 and now and then by 100, next to nothing where it is late by two. On a busy
/// machine it is often late by more than `longest`, and little is left to spin.
package enum WakeLead {
  /// Nanoseconds, as all here.
  package static var longest: Int64 { 128_000 }
  private static var step: Int64 { 2_540 }

  /// What follows `lead` after a wake-up that was `late` by so much.
  package static func next(_ lead: Int64, late: Int64) -> Int64 {
    late > lead ? min(lead &+ step, longest) : max(lead &- step / 127, 0)
  }

  /// How much earlier it is for a whole `wait`: an eighth of it at the most.
  package static func early(_ lead: Int64, wait: Int64) -> Int64 { max(min(lead, wait / 8), 0) }
}

/// One wait for a time, in as many sleeps as it takes.
package struct TimedWait {
  package enum Step: Equatable {
    case over
    /// Less is left than a sleep takes to end.
    case spin
    case sleep(nanoseconds: Int64)
  }

  package let end: Int64
  /// By how much before `end` the kernel is to wake the thread. Once for the whole wait: as an eighth of what is left, it
  /// would be next to nothing for who was woken before its time, and it is then that the end is near.
  private let early: Int64

  package init(until end: Int64, lead: Int64, now: Int64) {
    self.end = end
    early = WakeLead.early(lead, wait: end &- now)
  }

  package func step(now: Int64) -> Step {
    let left = end &- now
    if left <= 0 { return .over }
    return left <= max(early, Self.shortestSleep) ? .spin : .sleep(nanoseconds: left &- early)
  }

  /// How late the kernel was that has just ended a sleep; nil when it was ended before its time, by a signal or by an
  /// event that nobody waits for, which says nothing of the kernel.
  package func lateness(now: Int64) -> Int64? {
    let late = now &- (end &- early)
    return late < 0 ? nil : late
  }

  /// What is left when less than this remains is not worth a system call.
  private static var shortestSleep: Int64 { 2_000 }
}
