import Synchronization

/// Until when a goroutine waits on a descriptor (Go's `pollSetDeadline`, `netpolldeadlineimpl`).
///
/// A deadline is a time of the scheduler's clock in the descriptor's record, and a timer that is armed for it. When the
/// timer fires it looks at the record: only a deadline that has passed by the clock has passed. So a timer that was taken
/// out of its heap before somebody moved the deadline, or before the record came to stand for another descriptor, does
/// nothing; the deadline that is now there has armed it anew. (Go gives each setting a number, by which a late timer is
/// told.)
extension UnsafeMutablePointer where Pointee == PollDescriptor {
  /// Sets the deadline of one direction; nil for none. One that has passed is over at once, also for operations that would
  /// not have to wait. Any goroutine may call it at any time; on a descriptor that is being closed it does nothing.
  public func setDeadline(_ mode: PollMode, _ instant: ContinuousClock.Instant?) {
    set(mode, instant.map { Deadline.after(ContinuousClock.now.duration(to: $0)) } ?? 0, instant)
  }

  /// The same by the scheduler's clock, in nanoseconds; 0 for none.
  public func setDeadline(_ mode: PollMode, at when: Int64) {
    set(mode, when, nil)
  }

  /// The deadline as it was set, passed or not.
  public func deadline(_ mode: PollMode) -> ContinuousClock.Instant? {
    let m = currentM()
    pointee.lock.lock(m)
    defer { pointee.lock.unlock(m) }
    return mode == .read ? pointee.readInstant : pointee.writeInstant
  }

  private func set(_ mode: PollMode, _ when: Int64, _ instant: ContinuousClock.Instant?) {
    let m = acquireM()
    pointee.lock.lock(m)
    if pointee.info.load(ordering: .relaxed) & PollDescriptor.Info.closing != 0 {
      pointee.lock.unlock(m)
      releaseM(m)
      return
    }
    let isOver = when != 0 && when <= Clock.nanotime()
    var waiting: GRef?
    var pausing: GRef?
    switch mode {
    case .read:
      pointee.readDeadline = isOver ? -1 : when
      pointee.readInstant = instant
      pointee.setInfo(PollDescriptor.Info.readExpired, isOver)
      if isOver { pausing = evictPausing() }
    case .write:
      pointee.writeDeadline = isOver ? -1 : when
      pointee.writeInstant = instant
      pointee.setInfo(PollDescriptor.Info.writeExpired, isOver)
    }
    if isOver { waiting = evict(mode) }
    rearm(m)
    pointee.lock.unlock(m)
    wake(waiting, pausing, on: m)
    releaseM(m)
  }

  /// Parks the current goroutine for `nanoseconds`, whatever events come; not as long when the descriptor is closed or
  /// its read deadline passes. nil when the time is over. The caller is alone in reading.
  public func pause(nanoseconds: Int64) -> PollOutcome? {
    let m = currentM()
    pointee.lock.lock(m)
    if let failure = failure(.read) {
      pointee.lock.unlock(m)
      return failure
    }
    pointee.pausing = UInt(bitPattern: m.currentG)
    pointee.pauseEnd = Clock.nanotime() &+ nanoseconds
    rearm(m)
    Park.park(.sleep, unlocking: lock)
    return failure(.read)
  }

  /// Brings the timers up to what is waited for. Under lock; the caller announces after it, or parks.
  func rearm(_ m: MRef) {
    let (deadline, pause) = (max(pointee.readDeadline, 0), pointee.pauseEnd)
    let reading = deadline == 0 || pause == 0 ? max(deadline, pause) : min(deadline, pause)
    set(withUnsafeMutablePointer(to: &pointee.readTimer) { $0 }, &pointee.readAlarm, to: reading, m)
    let writing = max(pointee.writeDeadline, 0)
    set(withUnsafeMutablePointer(to: &pointee.writeTimer) { $0 }, &pointee.writeAlarm, to: writing, m)
  }

  private func set(_ timer: TimerRecordRef, _ alarm: inout Int64, to when: Int64, _ m: MRef) {
    if when == alarm { return }
    if when != 0 { Timers.arm(timer, at: when, on: m) } else { Timers.disarm(timer, on: m) }
    alarm = when
  }

  /// Ends the pause: whoever paused, to be woken.
  func evictPausing() -> GRef? {
    let g = GRef(bitPattern: pointee.pausing)
    pointee.pausing = PollDescriptor.none
    pointee.pauseEnd = 0
    return g
  }
}

extension PollDescriptor {
  /// A timer has fired, of this setting or of one before it. On a scheduler's stack.
  static func expire(_ descriptor: PollDescriptorRef, _ mode: PollMode) {
    let m = currentM()
    descriptor.lock.pointee.lock(m)
    // Not before the time for which the timer was set: the clock does not go backwards.
    let now = Clock.nanotime()
    var waiting: GRef?
    var pausing: GRef?
    switch mode {
    case .read:
      if descriptor.pointee.readAlarm <= now { descriptor.pointee.readAlarm = 0 }
      let isOver = descriptor.pointee.readDeadline > 0 && descriptor.pointee.readDeadline <= now
      if isOver {
        descriptor.pointee.readDeadline = -1
        descriptor.pointee.setInfo(Info.readExpired, true)
        waiting = descriptor.evict(.read)
      }
      if isOver || descriptor.pointee.pauseEnd <= now { pausing = descriptor.evictPausing() }
    case .write:
      if descriptor.pointee.writeAlarm <= now { descriptor.pointee.writeAlarm = 0 }
      if descriptor.pointee.writeDeadline > 0 && descriptor.pointee.writeDeadline <= now {
        descriptor.pointee.writeDeadline = -1
        descriptor.pointee.setInfo(Info.writeExpired, true)
        waiting = descriptor.evict(.write)
      }
    }
    // The pause may be over and the deadline still to come, or the other way round.
    descriptor.rearm(m)
    descriptor.lock.pointee.unlock(m)
    descriptor.wake(waiting, pausing, on: m)
  }
}
