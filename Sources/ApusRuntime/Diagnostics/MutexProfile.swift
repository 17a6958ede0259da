import CApus

/// Who releases a lock that others have waited for, and for how long (Go's `mutexevent`).
///
/// A waiter's time is charged to whoever holds the lock meanwhile, when he releases it: not all of it to the last one, as it
/// would be if each waiter's were counted when its turn comes. To look at all who wait at each release would take too long
/// where there are many. As in Go it is taken that they came at a steady pace, between the first and the last, whose times
/// begin anew at each release. The time lies in the waiter, where the link back would (`Waiter.chargedSince`).
package enum MutexProfile {
  private static var number: Int32 { Int32(APUS_PROFILE_MUTEX) }
  private static var limit: Int64 { 1 << 30 }

  @inline(__always)
  static var isOn: Bool { apus_profile_rate(number) != 0 }

  /// One in so many releases that somebody has waited for is counted; 0: none.
  package static var fraction: Int64 {
    get { Int64(apus_profile_rate(number)) }
    set {
      LazyStart.ensure()
      sched.pointee.mutexProfile.setRate(min(newValue, limit), of: number)
    }
  }

  package static func read() -> ContentionProfile.Contents {
    LazyStart.ensure()
    return sched.pointee.mutexProfile.read()
  }

  /// What a release is charged with.
  struct Charge {
    private let now: Int64
    private(set) var delay: Int64 = 0
    private var released: Int64 = 0

    /// Nothing, while the profile is off. A look at the clock otherwise.
    @inline(__always)
    init() { now = MutexProfile.isOn ? Clock.nanotime() : 0 }

    /// `waiter` waits no more.
    @inline(__always)
    mutating func add(_ waiter: UnsafeMutablePointer<Waiter>) {
      if now != 0 { addTimed(waiter) }
    }

    @inline(never)
    private mutating func addTimed(_ waiter: UnsafeMutablePointer<Waiter>) {
      let since = waiter.pointee.chargedSince
      if since == 0 { return }
      delay += max(now - since, 0)
      released += 1
    }

    /// `count` others wait on, `first` to `last` of them in the queue.
    @inline(__always)
    mutating func add(_ count: Int, first: UnsafeMutablePointer<Waiter>?, last: UnsafeMutablePointer<Waiter>?) {
      if now != 0 && count > 0, let first, let last { addTimed(count, first, last) }
    }

    @inline(never)
    private mutating func addTimed(
      _ count: Int, _ first: UnsafeMutablePointer<Waiter>, _ last: UnsafeMutablePointer<Waiter>
    ) {
      if released == 0 || first.pointee.chargedSince == 0 || last.pointee.chargedSince == 0 { return }
      let tail = max(now - last.pointee.chargedSince, 0)
      delay += (tail + delay) / 2 * Int64(count)
      first.pointee.chargedSince = now
      last.pointee.chargedSince = now
    }

    /// Counts it at the calling stack. No runtime lock is held.
    @inline(__always)
    func count() {
      if released > 0 { MutexProfile.count(delay, released) }
    }
  }

  @inline(never)
  private static func count(_ delay: Int64, _ released: Int64) {
    let fraction = fraction
    if fraction == 0 || ContentionProfile.random(below: fraction) != 0 { return }
    let g = currentM().currentG
    sched.pointee.mutexProfile.count(
      units: fraction &* released &* ContentionProfile.unit, fraction &* delay, from: apus_frame_pointer(), of: g)
  }
}

extension Waiter {
  /// Since when the time that the waiter waits for a lock is charged to nobody yet, in nanoseconds; 0: it is not noted. It
  /// lies where the link back would, which a queue of `NumberedWaiters` has not.
  var chargedSince: Int64 {
    get { Int64(Int(bitPattern: previous)) }
    set { previous = UnsafeMutablePointer(bitPattern: Int(newValue)) }
  }
}
