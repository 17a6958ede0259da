import CApus

/// How long goroutines wait for others: at channels, in `select`, for locks, conditions, groups and semaphores (Go's
/// `blockevent`). Not counted is who sleeps, waits for a descriptor, or for the runtime.
package enum BlockProfile {
  private static var number: Int32 { Int32(APUS_PROFILE_BLOCK) }
  private static var limit: Int64 { 1 << 50 }

  @inline(__always)
  static var isOn: Bool { apus_profile_rate(number) != 0 }

  /// For how many nanoseconds of waiting there is an event; 0: none. A longer wait is always counted.
  package static var rate: Int64 {
    get { Int64(apus_profile_rate(number)) }
    set {
      LazyStart.ensure()
      sched.pointee.blockProfile.setRate(min(newValue, limit), of: number)
    }
  }

  package static func read() -> ContentionProfile.Contents {
    LazyStart.ensure()
    return sched.pointee.blockProfile.read()
  }

  /// The goroutine `g`, the calling one, has waited for `delay` nanoseconds. Of a wait shorter than `rate` chance decides, and
  /// it is counted for those that were left out, too: the sums are right on average.
  @inline(never)
  static func count(_ delay: Int64, of g: GRef) {
    let (delay, rate) = (max(delay, 1), rate)
    if rate == 0 || (rate > delay && ContentionProfile.random(below: rate) > delay) { return }
    let units = delay < rate ? rate * ContentionProfile.unit / delay : ContentionProfile.unit
    sched.pointee.blockProfile.count(units: units, max(delay, rate), from: apus_frame_pointer(), of: g)
  }
}
