public import ApusRuntime
import CApus

/// The time in a timer's channel (Go's timer channels since 1.23).
///
/// Nothing is ever stored in such a channel. Whether there is a time to receive follows from the clock: `when` is set and
/// has passed. So a stopped or reset timer can have no stale time, a timer that nobody refers to costs nothing but its
/// memory, and `count` is 0. Only while somebody is blocked on the channel an alarm stands in a P's heap, to give the
/// time to the first that waits. When it fires and nobody waits any more, it does nothing.
@usableFromInline
struct ChannelTimer: ~Copyable {
  fileprivate var alarm: TimerRecord
  // Under the channel's lock.
  /// The next time to be received, on the monotonic clock; 0: none will come, unless the timer is reset.
  fileprivate var when: Int64
  /// 0 for a timer, above for a ticker.
  fileprivate var period: Int64
  /// Where the time that is taken lies for a moment.
  fileprivate var instant: ContinuousClock.Instant?

  fileprivate init(_ state: UnsafeMutablePointer<ChannelState>, when: Int64, period: Int64) {
    alarm = TimerRecord(UnsafeMutableRawPointer(state)) {
      TimerChannel.fire($0.assumingMemoryBound(to: ChannelState.self))
    }
    self.when = when
    self.period = period
    instant = nil
  }

  /// The time that is there at `now` is taken: a ticker goes on to its first tick after `now`, and so leaves out those
  /// that came while nobody received.
  fileprivate mutating func advance(_ now: Int64) {
    if period == 0 {
      when = 0
      return
    }
    let missed = (now &- when) / period
    let (distance, overflow) = period.multipliedReportingOverflow(by: missed &+ 1)
    let (next, overflowed) = when.addingReportingOverflow(distance)
    when = overflow || overflowed ? Int64.max : next
  }
}

/// What a channel has to do for its timer. Each function but `dispose` expects the channel to be locked and to have a
/// timer.
@usableFromInline
enum TimerChannel {
  /// Whether there seems to be a time to receive now. The channel need not be locked.
  @usableFromInline
  static func looksReady(_ state: UnsafeMutablePointer<ChannelState>) -> Bool {
    let timer = state.pointee.timer.unsafelyUnwrapped
    let when = withUnsafeMutablePointer(to: &timer.pointee.when) { Int64(bitPattern: UInt64(apus_peek_word($0))) }
    return when != 0 && when <= Clock.nanotime()
  }

  /// Receives the time that is there: the place of a `ContinuousClock.Instant`, to be read before the channel is
  /// unlocked. nil when there is none, or the channel is closed.
  @usableFromInline
  static func take(_ state: UnsafeMutablePointer<ChannelState>) -> UnsafeMutableRawPointer? {
    let timer = state.pointee.timer.unsafelyUnwrapped
    if timer.pointee.when == 0 || state.pointee.isClosed { return nil }
    let now = Clock.nanotime()
    if timer.pointee.when > now { return nil }
    timer.pointee.instant = instant(
      of: timer.pointee.when, monotonic: Clock.nanotime, continuous: { ContinuousClock.now })
    timer.pointee.advance(now)
    return UnsafeMutableRawPointer(withUnsafeMutablePointer(to: &timer.pointee.instant) { $0 })
  }

  /// The time `when` of the scheduler's clock on the continuous one, never before it. The two differ by how long the machine
  /// was suspended, so the time is told by how long ago it was. They are read one after the other: when the kernel has let
  /// the thread stand in between, the time would be told that much too late, and perhaps a ticker's next one before it.
  /// Then they are read again.
  @inline(__always)
  static func instant(
    of when: Int64, monotonic: () -> Int64, continuous: () -> ContinuousClock.Instant
  ) -> ContinuousClock.Instant {
    var now = monotonic()
    var instant = continuous().advanced(by: .nanoseconds(when &- now))
    for _ in 0..<10 {
      let end = monotonic()
      if end &- now < 10_000 { break }
      now = end
      instant = continuous().advanced(by: .nanoseconds(when &- now))
    }
    return instant
  }

  /// The caller, on `m`, has put a waiter into `receivers` and parks now, under the channel's lock: the alarm is set.
  @usableFromInline
  static func block(_ state: UnsafeMutablePointer<ChannelState>, on m: MRef) {
    let timer = state.pointee.timer.unsafelyUnwrapped
    if timer.pointee.when != 0 { Timers.arm(timer.record, at: timer.pointee.when, on: m) }
  }

  /// The caller has taken its waiter off `receivers` without an element (a select that chose another operation): the
  /// alarm is called off when nobody else waits. It may be left out, but a wait for the alarm then hides a deadlock.
  @usableFromInline
  static func unblock(_ state: UnsafeMutablePointer<ChannelState>, on m: MRef) {
    if state.pointee.receivers.isEmpty { Timers.disarm(state.pointee.timer.unsafelyUnwrapped.record, on: m) }
  }

  /// The channel goes. Nobody waits, but an alarm that fires late may still be looking at it.
  @usableFromInline
  static func dispose(_ timer: UnsafeMutablePointer<ChannelTimer>) {
    Timers.remove(timer.record)
    timer.deinitialize(count: 1)
    timer.deallocate()
  }

  /// The alarm: on a scheduler's stack, no lock held.
  fileprivate static func fire(_ state: UnsafeMutablePointer<ChannelState>) {
    let m = currentM()
    let timer = state.pointee.timer.unsafelyUnwrapped
    state.pointee.lock.lock(m)
    var receiver: GRef?
    if looksReady(state), let waiter = state.pointee.receivers.takeFirst() {
      // Ready, so there is a time: nobody takes it without the lock.
      let instant = take(state).unsafelyUnwrapped.assumingMemoryBound(to: ContinuousClock.Instant.self)
      waiter.pointee.element.unsafelyUnwrapped.initializeMemory(
        as: ContinuousClock.Instant.self, from: instant, count: 1)
      waiter.pointee.succeeded = true
      receiver = waiter.pointee.g
    }
    // Others wait for the next tick, or the timer was reset for later since the alarm went off.
    if timer.pointee.when != 0 && !state.pointee.receivers.isEmpty {
      Timers.arm(timer.record, at: timer.pointee.when, on: m)
    }
    Park.unlock(state.lockAddress, on: m, readying: receiver)
  }
}

extension UnsafeMutablePointer where Pointee == ChannelTimer {
  fileprivate var record: TimerRecordRef { withUnsafeMutablePointer(to: &pointee.alarm) { $0 } }
}

extension Channel where Element == ContinuousClock.Instant {
  /// A channel on which a time arrives at `when`, and then every `period` nanoseconds if that is above 0.
  convenience init(timerAt when: Int64, period: Int64 = 0) {
    self.init()
    let timer = UnsafeMutablePointer<ChannelTimer>.allocate(capacity: 1)
    timer.initialize(to: ChannelTimer(state, when: when, period: period))
    state.pointee.timer = timer
    state.pointee.isReserved = true
  }

  /// Sets the timer anew, 0: stops it. True when there was a time still to be received.
  func setTimer(_ when: Int64, period: Int64 = 0) -> Bool {
    let m = currentM()
    let timer = state.pointee.timer.unsafelyUnwrapped
    state.pointee.lock.lock(m)
    let wasPending = timer.pointee.when != 0
    timer.pointee.when = when
    timer.pointee.period = period
    if when == 0 {
      Timers.disarm(timer.record, on: m)
    } else if !state.pointee.receivers.isEmpty {
      Timers.arm(timer.record, at: when, on: m)
    }
    state.pointee.lock.unlock(m)
    Timers.announce(m)
    return wasPending
  }
}
