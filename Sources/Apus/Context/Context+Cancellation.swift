extension Context {
  /// A context that is cancelled when `cancel` is called or this context is cancelled, whichever comes first (Go's
  /// `WithCancelCause`).
  ///
  /// When `cancel` returns, the context and all below it are cancelled. Its argument is the cause; with nil the failure is.
  /// Only the first cancellation has an effect. `cancel` does not wait for any work to stop.
  public func cancellable() -> (context: Context, cancel: @Sendable ((any Error)?) -> Void) {
    derived(.cancellable, Cancellation(below: cancellation), limit)
  }

  /// As `cancellable`, and cancelled with `deadlineExceeded` when `timeout` has passed (Go's `WithTimeoutCause`): `cause`
  /// is the cause then. A timeout of zero or less has passed already.
  public func timeout(
    _ timeout: Duration, cause: (any Error)? = nil
  ) -> (context: Context, cancel: @Sendable ((any Error)?) -> Void) {
    // Far beyond any clock, but within what an instant can hold.
    let longest = Duration.seconds(Int64.max)
    return deadline(.now + min(max(timeout, .zero - longest), longest), cause: cause)
  }

  /// As `cancellable`, and cancelled with `deadlineExceeded` at `instant` (Go's `WithDeadlineCause`): `cause` is the cause
  /// then. An instant in the past has passed already. When this context has a deadline that is not later, it stays.
  public func deadline(
    _ instant: ContinuousClock.Instant, cause: (any Error)? = nil
  ) -> (context: Context, cancel: @Sendable ((any Error)?) -> Void) {
    if let deadline, deadline <= instant { return cancellable() }
    let parent = cancellation
    let cancellation = Cancellation(below: parent)
    let left = ContinuousClock.now.duration(to: instant)
    if left <= .zero {
      cancellation.cancel(.deadlineExceeded, cause, below: parent)
    } else if !cancellation.hasFailed {
      // Until it has fired or is stopped, the timer keeps the cancellation, and the cancellation the timer.
      cancellation.keep(
        Goroutine.after(left) { cancellation.cancel(.deadlineExceeded, cause, below: parent) })
    }
    return derived(.deadline, cancellation, TimeLimit(instant))
  }

  /// Has `body` run in a goroutine of its own when the context is cancelled, at once when it is already (Go's `AfterFunc`).
  ///
  /// The closure that it returns takes that back: true when `body` will therefore never run, false when it runs, has
  /// run, or was taken back before. It does not wait for `body`. Until then the context keeps `body`.
  @discardableResult
  public func onCancel(_ body: sending @escaping () -> Void) -> @Sendable () -> Bool {
    let hook = CancelHook(body)
    if let cancellation, !cancellation.add(hook) { hook.run() }
    return { [cancellation] in
      guard hook.forget() else { return false }
      cancellation?.remove(hook)
      return true
    }
  }

  private func derived(
    _ kind: Kind, _ cancellation: Cancellation, _ limit: TimeLimit?
  ) -> (context: Context, cancel: @Sendable ((any Error)?) -> Void) {
    // `cancel` needs the parent to be taken off its list. The cancellation itself does not know its parent, so that
    // references only lead downwards and a tree that nobody can cancel any more is released.
    let parent = self.cancellation
    return (
      Context(kind, below: self, cancellation, limit),
      { cause in cancellation.cancel(.cancelled, cause, below: parent) }
    )
  }
}
