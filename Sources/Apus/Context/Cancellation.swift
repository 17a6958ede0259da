import struct Synchronization.Atomic

/// What makes a context cancellable, shared by the contexts below it that add only values (Go's `cancelCtx`, `timerCtx`).
///
/// A cancellation keeps those below it until they are cancelled, so it is cancelled without a goroutine for each. It does
/// not keep what is above: only `cancel` closures and timers do.
///
/// Its lock is one on which goroutines park and threads block. Under it stands no more than a few assignments and list
/// operations: what can run code that is not ours (the bodies of `onCancel`, closing a channel, which wakes others,
/// stopping a timer, destroying a cause or a body) is taken out under the lock and done after it, and, where it could cancel
/// the same context and wait for that, after everything below is cancelled (`Aftermath`). So a callback may use the context
/// and cancel it again, and two of these locks are never held at once.
final class Cancellation: Registered, @unchecked Sendable {
  // Unchecked: `guarded` is under `word`, `place` under the parent's.

  /// How far the cancellation has come. Bits are only ever set, each once, in this order.
  private struct Stage: OptionSet {
    let rawValue: UInt8
    /// Somebody cancels: no child and no hook can be added any more. Set under the lock.
    static var failed: Stage { Stage(rawValue: 1) }
    /// Set together with `failed`: the failure is `deadlineExceeded`.
    static var byDeadline: Stage { Stage(rawValue: 2) }
    /// The channel of `done` is closed, or none was there when `failed` was set.
    static var closed: Stage { Stage(rawValue: 4) }
    /// Somebody waits for `settled`; may come before or after it. Set under the lock.
    static var awaited: Stage { Stage(rawValue: 8) }
    /// All below is cancelled too.
    static var settled: Stage { Stage(rawValue: 16) }
  }

  private struct Guarded {
    var children = Registry<Cancellation>()
    var hooks = Registry<CancelHook>()
    var timer: Goroutine.Timer?
    var cause: (any Error)?
    /// Where those wait that found the cancellation going on (`awaitSettled`).
    var settling: Channel<Never>?
  }

  private let stage = Atomic<UInt8>(0)
  /// The channel of `done`, made under the lock.
  private let doneChannel = DoneChannel()
  /// The lock, here and not in a `Mutex`, which would be another object to allocate.
  private let word = MutexWord()
  @exclusivity(unchecked) private var guarded = Guarded()
  /// Under the parent's lock.
  var place = Place.none

  /// Makes a cancellation that is cancelled with `parent`; at once when that is cancelled already.
  init(below parent: Cancellation?) {
    guard let parent, !parent.add(self) else { return }
    var none = Aftermath()
    _ = begin(parent.assumedFailure, parent.withLock { $0.cause }, &none)
    settle()
  }

  /// Releases those below one by one where nobody else refers to them: a recursion would need a stack as deep as the tree.
  deinit {
    var doomed = takeChildren()
    while var child = doomed.popLast() {
      if isKnownUniquelyReferenced(&child) { doomed += child.takeChildren() }
    }
  }

  private func withLock<Result>(_ body: (inout Guarded) -> Result) -> Result {
    word.lock()
    defer { word.unlock() }
    return body(&guarded)
  }

  private var progress: Stage { Stage(rawValue: stage.load(ordering: .acquiring)) }

  /// Sets `bits` and returns the stage before.
  @discardableResult
  private func advance(_ bits: Stage) -> Stage {
    Stage(rawValue: stage.bitwiseOr(bits.rawValue, ordering: .acquiringAndReleasing).oldValue)
  }

  /// Whether it is cancelled, or is being cancelled.
  var hasFailed: Bool { progress.contains(.failed) }

  /// The failure, when `failed` is set.
  private var assumedFailure: Context.Failure {
    progress.contains(.byDeadline) ? .deadlineExceeded : .cancelled
  }

  /// As `Context.failure`.
  var failure: Context.Failure? {
    let progress = progress
    if !progress.contains(.failed) { return nil }
    // Whoever sees a failure must find `done` closed. Between the two the channel exists, and closing it is what the
    // other thread does next.
    if !progress.contains(.closed) { _ = done.receive() }
    return progress.contains(.byDeadline) ? .deadlineExceeded : .cancelled
  }

  /// As `Context.cause`.
  var cause: (any Error)? {
    guard let failure else { return nil }
    let given: (any Error)? = withLock { $0.cause }
    return given ?? failure
  }

  /// As `Context.done`.
  var done: Channel<Never> {
    if let channel = doneChannel.channel { return channel }
    // Under the lock, so that `begin` either finds the channel and closes it, or was here before. `failed` without a
    // channel stays without one: all who ask then get the same closed channel.
    return withLock { _ in
      if let channel = doneChannel.channel { return channel }
      return hasFailed ? DoneChannels.closed : doneChannel.make()
    }
  }
}

// Cancelling.
extension Cancellation {
  /// What is left to do for those that were cancelled, when all of them are: it may run code that is not ours, by
  /// starting a body or by releasing what a body or a timer held, and that code may cancel the same context, and wait
  /// until it is.
  private struct Aftermath {
    var hooks: [CancelHook] = []
    var timers: [Goroutine.Timer] = []

    consuming func take() {
      for timer in timers { _ = timer.stop() }
      for hook in hooks { hook.run() }
    }
  }

  /// Cancels this and all below it, and takes it off its `parent`'s list. When it returns, all of that is cancelled, also
  /// where others were about it. Without effect when it is cancelled already.
  func cancel(_ failure: Context.Failure, _ cause: (any Error)?, below parent: Cancellation?) {
    var aftermath = Aftermath()
    guard var below = begin(failure, cause, &aftermath) else { return awaitSettled() }
    // A list of what is to be done instead of a recursion: the tree may be deeper than a goroutine's stack. All of them
    // are kept to the end: whoever releases the last one destroys a cause, which is not ours either.
    var begun: [Cancellation] = []
    var foreign: [Cancellation] = []
    while let child = below.popLast() {
      if let more = child.begin(failure, cause, &aftermath) {
        begun.append(child)
        below += more
      } else {
        foreign.append(child)
      }
    }
    // Whoever cancels one of those has everything below it, and waits for others further below only: waiting leads
    // downwards, so it ends.
    for child in foreign { child.awaitSettled() }
    for child in begun { child.settle() }
    settle()
    withExtendedLifetime((begun, foreign)) {
      parent?.remove(self)
      aftermath.take()
    }
  }

  /// Cancels this one, and returns those directly below; nil when it is cancelled already, by whomever.
  private func begin(
    _ failure: Context.Failure, _ cause: (any Error)?, _ aftermath: inout Aftermath
  ) -> [Cancellation]? {
    if hasFailed { return nil }
    typealias Taken = (children: [Cancellation], hooks: [CancelHook], timer: Goroutine.Timer?, channel: Channel<Never>?)
    let taken: Taken? = withLock { guarded in
      if hasFailed { return nil }
      guarded.cause = cause
      let channel = doneChannel.channel
      var bits: Stage = failure == .deadlineExceeded ? [.failed, .byDeadline] : .failed
      if channel == nil { bits.insert(.closed) }
      advance(bits)
      defer { guarded.timer = nil }
      return (guarded.children.removeAll(), guarded.hooks.removeAll(), guarded.timer, channel)
    }
    guard let taken else { return nil }
    if let channel = taken.channel {
      channel.closeReserved()
      advance(.closed)
    }
    aftermath.hooks += taken.hooks
    if let timer = taken.timer { aftermath.timers.append(timer) }
    return taken.children
  }

  /// Says that all below is cancelled.
  private func settle() {
    guard advance(.settled).contains(.awaited) else { return }
    // `awaited` was set under the lock, so what it announces is there when the lock is.
    let settling = withLock { guarded in
      defer { guarded.settling = nil }
      return guarded.settling
    }
    settling?.close()
  }

  /// Waits until all below is cancelled. Somebody is about it.
  private func awaitSettled() {
    if progress.contains(.settled) { return }
    let settling: Channel<Never>? = withLock { guarded in
      // One atomic word decides the order: either `settle` sees `awaited`, or this sees `settled`.
      if advance(.awaited).contains(.settled) { return nil }
      if guarded.settling == nil { guarded.settling = Channel() }
      return guarded.settling
    }
    _ = settling?.receive()
  }
}

// The lists, and the timer.
extension Cancellation {
  /// Has `child`, which is new, cancelled with this one. False when this one is cancelled already.
  private func add(_ child: Cancellation) -> Bool {
    withLock { guarded in
      if hasFailed { return false }
      guarded.children.insert(child)
      return true
    }
  }

  /// Takes `child` off the list, where it may not be any more.
  private func remove(_ child: Cancellation) {
    if hasFailed { return }
    withLock { $0.children.remove(child) }
  }

  private func takeChildren() -> [Cancellation] {
    withLock { $0.children.removeAll() }
  }

  /// Has `hook` run when this is cancelled. False when it is cancelled already.
  func add(_ hook: CancelHook) -> Bool {
    withLock { guarded in
      if hasFailed { return false }
      guarded.hooks.insert(hook)
      return true
    }
  }

  /// Takes `hook` off the list, where it may not be any more.
  func remove(_ hook: CancelHook) {
    if hasFailed { return }
    withLock { $0.hooks.remove(hook) }
  }

  /// Keeps the timer of the deadline, to stop it when this is cancelled; stops it at once when that has happened.
  func keep(_ timer: Goroutine.Timer) {
    let isKept = withLock { guarded in
      if hasFailed { return false }
      guarded.timer = timer
      return true
    }
    if !isKept { _ = timer.stop() }
  }

  /// What is registered, for tests and diagnostics.
  package var census: (children: Int, hooks: Int, hasTimer: Bool) {
    withLock { ($0.children.count, $0.hooks.count, $0.timer != nil) }
  }
}

extension Context {
  /// What is registered with the cancellation of this context; nil where nothing can cancel it.
  package var census: (children: Int, hooks: Int, hasTimer: Bool)? { cancellation?.census }
}
