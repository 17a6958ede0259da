import ApusRuntime

/// What has ended the body of `Goroutine.isolated`.
public struct Trap: Error, Sendable {
  private let record: TrapRecord

  init(_ record: TrapRecord) {
    self.record = record
  }

  /// Why, as a fatal report has it behind `panic: `: "Fatal error: Index out of range", "Swift runtime failure: arithmetic
  /// overflow", "send on closed channel". Some milliseconds each time, where debug information has to be read for it.
  public var reason: String { record.reason }

  /// The signal by which the trap showed; nil for misuse that Apus has noticed.
  public var signal: Int32? { record.signal }

  /// The goroutine in which it happened.
  public var goroutine: Goroutine.ID { Goroutine.ID(value: record.goroutine) }

  /// Where it happened, as in a fatal report: two lines a function, innermost first. Some milliseconds each time.
  public var frames: String { record.frames }
}

extension Trap: CustomStringConvertible {
  /// The reason.
  public var description: String { reason }
}

extension Goroutine {
  /// Runs `body`, and returns its result; or, where it traps, why. The trap then ends neither the process nor the goroutine.
  ///
  ///     switch Goroutine.isolated({ try! parse(request) }) {
  ///     case .success(let reply): send(reply)
  ///     case .failure(let trap): log(trap.reason, trap.frames); send(.internalError)
  ///     }
  ///
  /// Caught are failed checks (an index out of range, an overflow, `nil` unwrapped, `fatalError`, `precondition`), failed
  /// casts, null pointers, and misuse of Apus such as sending on a closed channel. Everything else ends the process as
  /// ever: the end of the stack, an access to another bad address, `abort()` in C.
  ///
  /// This is for a server that would rather lose a request than all of them. It is not error handling, and not safe in
  /// general. Nothing is unwound: **what the body held when it trapped stays held for ever.** Memory leaks, with every
  /// object that a frame refers to; locks stay locked, and whoever waits for them hangs; `defer` does not run. A trap
  /// within the initialiser of a global or `static let` leaves that unfinished, and the next access to it hangs. What the
  /// body shares with others, behind a lock or in a `Sendable` class, may be half changed. (What it shares with nobody
  /// cannot be looked at any more: that is why it must be `sending`, and its result `Sendable`.) Swift's runtime
  /// has written its message to standard error by then. It keeps the message in one place for all threads: of two goroutines
  /// that trap within the same microsecond one may get both, and the other none.
  ///
  /// `body` runs on the calling goroutine. The goroutines that it spawns are not isolated: a trap in one of them ends the
  /// process. Of isolated calls within each other a trap ends the innermost. On a thread that is no goroutine's it runs
  /// in a goroutine of its own, for which the thread waits. A call costs some 20 ns and an allocation, a trap some
  /// microseconds.
  public static func isolated<Result: Sendable>(
    _ body: sending @escaping () -> Result
  ) -> Swift.Result<Result, Trap> {
    if current == nil {
      let outcomes = Channel<Swift.Result<Result, Trap>>(capacity: 1)
      go(body) { outcomes.send(isolatedHere($0)) }
      return outcomes.receive().unsafelyUnwrapped
    }
    return isolatedHere(body)
  }

  private static func isolatedHere<Result: Sendable>(_ body: @escaping () -> Result) -> Swift.Result<Result, Trap> {
    // Not a variable: the closure would keep a box that is never freed after a trap.
    let result = UnsafeMutablePointer<Result>.allocate(capacity: 1)
    defer { result.deallocate() }
    if let record = Isolation.call({ result.initialize(to: body()) }) { return .failure(Trap(record)) }
    return .success(result.move())
  }
}
