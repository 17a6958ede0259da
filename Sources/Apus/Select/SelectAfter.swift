public import ApusRuntime

/// Proceeds when a duration has passed and nothing else has proceeded: the timeout of a `select`.
public struct After: SelectOperation {
  public typealias Output = Void

  @usableFromInline let duration: Duration

  @inlinable
  init(_ duration: Duration) {
    self.duration = duration
  }

  /// It never proceeds at once: it is only ever waited for.
  @inlinable public var _kind: SelectKind { .never }

  @inlinable
  public mutating func _perform(waking woken: inout GRef?) -> Bool { false }

  @inlinable
  public mutating func _prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    _ = frame.addTimer(index)
  }

  /// Under the locks of the select, of which one is the frame's own: the timer may fire at once, but claims nothing
  /// before the goroutine is parked.
  @inlinable
  public mutating func _enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    Timers.arm(frame.timer(index), at: Deadline.after(duration), on: currentM())
  }

  /// In no queue, but the frame's lock is one of those under which the goroutine has parked.
  @inlinable
  public mutating func _dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool) {
    if !fired { frame.passLock(currentM()) }
  }

  /// A timer that lost is gone from its heap, not only called off: the frame is used again.
  @inlinable
  public mutating func _settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool) {
    Timers.remove(frame.timer(index))
  }
}

extension SelectOperation where Self == After {
  /// Proceeds when `duration` has passed and no other operation has proceeded; for zero and below, as soon as the
  /// `select` would wait. It allocates nothing, and nothing of it is left when another operation proceeds.
  @inlinable public static func after(_ duration: Duration) -> After { After(duration) }
}
