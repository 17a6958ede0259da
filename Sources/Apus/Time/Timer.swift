import ApusRuntime

extension Goroutine {
  /// Parks the goroutine for `duration` at the least. Returns at once for zero and below; a duration beyond 292 years is
  /// as good as for ever. Other goroutines run meanwhile; on a thread that is no goroutine's, the thread sleeps.
  ///
  /// The wait is by the monotonic clock, which stands still while the machine is suspended (as Go's).
  public static func sleep(for duration: Duration) {
    if duration <= .zero { return }
    Timers.sleep(until: Deadline.after(duration))
  }

  /// Parks the goroutine until `instant`; returns at once when that has passed.
  public static func sleep(until instant: ContinuousClock.Instant) {
    sleep(for: ContinuousClock.now.duration(to: instant))
  }

  /// A channel on which the time arrives once `duration` has passed (Go's `time.After`). The channel's last reference
  /// takes the timer with it.
  public static func after(_ duration: Duration) -> Channel<ContinuousClock.Instant> {
    Channel(timerAt: Deadline.after(duration))
  }

  /// Runs `body` in a new goroutine once `duration` has passed, unless the timer is stopped before (Go's
  /// `time.AfterFunc`). It runs whether or not anybody keeps the timer; each `reset` has it run once more.
  @discardableResult
  public static func after(_ duration: Duration, _ body: sending @escaping () -> Void) -> Timer {
    Timer(after: duration, body)
  }

  /// One event in the future: a time on a channel, or a function that is run (Go's `time.Timer`, as of Go 1.23).
  ///
  /// Once `stop` or `reset` has returned, nothing of the setting before is received any more; a time that was due and not
  /// received counts as not expired. A timer to which nobody refers any more is gone, expired or not, unless it has a
  /// function to run.
  public final class Timer: Sendable {
    private enum Kind: Sendable {
      case channel(Channel<ContinuousClock.Instant>)
      case function(TimedFunction)
    }

    private let kind: Kind

    /// A timer on whose channel the time arrives after `duration`; at once for zero and below.
    public init(after duration: Duration) {
      kind = .channel(Goroutine.after(duration))
    }

    fileprivate init(after duration: Duration, _ body: sending @escaping () -> Void) {
      let function = TimedFunction(body)
      _ = function.arm(at: Deadline.after(duration))
      kind = .function(function)
    }

    /// Where the time arrives. A timer with a function has none: what it returns then never has anything.
    public var channel: Channel<ContinuousClock.Instant> {
      switch kind {
      case .channel(let channel): channel
      case .function: Channel()
      }
    }

    /// Calls the timer off. True when it did: nothing was received, or run, and nothing will be. False when it had
    /// expired and was received from, when its function was started, or when it was stopped before.
    @discardableResult
    public func stop() -> Bool {
      switch kind {
      case .channel(let channel): channel.setTimer(0)
      case .function(let function): function.disarm()
      }
    }

    /// Sets the timer to `duration` from now, whatever it was set to. True when it was set and had not expired, as
    /// `stop` has it.
    @discardableResult
    public func reset(after duration: Duration) -> Bool {
      let when = Deadline.after(duration)
      return switch kind {
      case .channel(let channel): channel.setTimer(when)
      case .function(let function): function.arm(at: when)
      }
    }
  }

  /// The time on a channel again and again (Go's `time.Ticker`). A receiver that is too slow misses ticks: those that
  /// came while nobody received are one, the first of them.
  public final class Ticker: Sendable {
    /// Where the ticks arrive. `stop` does not close it.
    public let channel: Channel<ContinuousClock.Instant>

    /// A ticker whose first tick comes after `interval`. An interval of zero or below ends the process with
    /// `panic: non-positive interval for NewTicker`.
    public init(every interval: Duration) {
      if interval <= .zero { Fatal.panic("non-positive interval for NewTicker") }
      channel = Channel(timerAt: Deadline.after(interval), period: Deadline.nanoseconds(of: interval))
    }

    /// No tick comes any more, also none that was due and not received.
    public func stop() {
      _ = channel.setTimer(0)
    }

    /// Ticks from now on every `interval`, stopped or not. An interval of zero or below ends the process with
    /// `panic: non-positive interval for Ticker.Reset`.
    public func reset(every interval: Duration) {
      if interval <= .zero { Fatal.panic("non-positive interval for Ticker.Reset") }
      _ = channel.setTimer(Deadline.after(interval), period: Deadline.nanoseconds(of: interval))
    }
  }
}

/// A function and when to run it. While it is armed the record holds one reference to it.
private final class TimedFunction: @unchecked Sendable {
  // Unchecked: the record has its lock, and `body` is called by one goroutine a time that the timer was armed. When a
  // program resets a timer while its function runs, both run, as in Go.
  private let body: () -> Void
  private let record: TimerRecordRef

  init(_ body: sending @escaping () -> Void) {
    self.body = body
    record = .allocate(capacity: 1)
    record.initialize(
      to: TimerRecord(Unmanaged.passUnretained(self).toOpaque()) { context in
        // The reference of the armed record goes over to the goroutine. Not by `go`: the thread is in the runtime here,
        // and `go` allocates where it is not specialized, as in a debug build.
        let g = Spawn.allocate()
        g.payloadAddress.bindMemory(to: UnsafeMutableRawPointer.self, capacity: 1).initialize(to: context)
        Spawn.submit(
          g,
          Entry { payload in
            let context = payload.assumingMemoryBound(to: UnsafeMutableRawPointer.self).pointee
            Unmanaged<TimedFunction>.fromOpaque(context).takeRetainedValue().body()
          })
      })
  }

  deinit {
    Timers.remove(record)
    record.deinitialize(count: 1)
    record.deallocate()
  }

  /// Sets it to `when`; true when it was set and had not started.
  func arm(at when: Int64) -> Bool {
    // Taken before: it may fire at once.
    let reference = Unmanaged.passRetained(self)
    let m = currentM()
    let wasArmed = Timers.arm(record, at: when, on: m)
    Timers.announce(m)
    if wasArmed { reference.release() }
    return wasArmed
  }

  func disarm() -> Bool {
    let wasArmed = Timers.disarm(record, on: currentM())
    if wasArmed { Unmanaged.passUnretained(self).release() }
    return wasArmed
  }
}
