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
