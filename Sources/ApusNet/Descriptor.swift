import ApusRuntime
import CApus

/// A file descriptor with everything that keeps its users apart (Go's `poll.FD`): how long it lives, who reads and writes
/// it, and how a goroutine waits for it.
///
/// Every operation returns what the system call did: a count, or a negative error number, or one of `Outcome`'s. Nothing
/// is allocated; what the error means, and to whom, is said by the types above.
struct Descriptor: ~Copyable, @unchecked Sendable {
  // Unchecked: `mutex` keeps its users apart, and the record has a lock of its own.
  let number: Int32
  /// nil: what cannot be polled, such as a regular file. Its calls may sleep, and the scheduler is told so.
  private let record: PollDescriptorRef?
  /// Given back to the kernel when the last user has gone.
  private let ownsNumber: Bool
  /// A read that gets less than it asks for has found the end of what there is: TCP, and nothing else. A pipe may hold
  /// packets, a terminal lines, and a Unix socket's read ends where descriptors were sent along.
  private let tellsDrained: Bool
  /// It was made non-blocking for this, and is to be blocking again afterwards: others may have the same open file.
  private let wasBlocking: Bool
  private let mutex = FDMutex()
  /// Given one unit when the last user has gone.
  private let disposed = SemaphoreRoot(0)

  /// What an operation comes to besides the system's own results.
  enum Outcome {
    static var closed: Int64 { -1 << 32 }
    static var timedOut: Int64 { -2 << 32 }
  }

  /// Takes over an open descriptor that is non-blocking where there is a record for it.
  init(
    _ number: Int32, _ record: PollDescriptorRef?, ownsNumber: Bool = true, tellsDrained: Bool = false,
    wasBlocking: Bool = false
  ) {
    self.number = number
    self.record = record
    self.ownsNumber = ownsNumber
    self.tellsDrained = tellsDrained
    self.wasBlocking = wasBlocking
  }

  deinit {
    // Nobody is inside an operation: each holds a reference to the owner.
    if mutex.isClosed { return }
    record?.beginClosing()
    dispose()
  }

  private func dispose() {
    if let record { Netpoll.close(record) }
    if wasBlocking { _ = apus_set_nonblocking(number, 0) }
    if !ownsNumber { return }
    // A file system may have to write first, and a socket may linger.
    Syscall.enter()
    _ = apus_close(number)
    Syscall.exit()
  }

  /// Registers `number`, a new and non-blocking descriptor, with the poller. When that fails it is closed.
  static func register(_ number: Int32) -> Result<PollDescriptorRef, SystemError> {
    let (record, error) = Netpoll.open(number)
    if let record { return .success(record) }
    _ = apus_close(number)
    return .failure(SystemError(-error))
  }

  // MARK: Life

  /// Closes: everybody who is inside an operation is woken, and no new one begins. When it returns the last one has left,
  /// and the number is the kernel's again; where the descriptor is not polled it does not wait for that. False when it
  /// was closed before. `first`: what is to be done once, while the number is still held.
  @discardableResult
  func close(first: () -> Void = {}) -> Bool {
    guard mutex.close() else { return false }
    first()
    record?.beginClosing()
    release()
    if record != nil { disposed.acquire(1, .semaphore) }
    return true
  }

  var isClosed: Bool { mutex.isClosed }

  /// Runs `body` with the number, which stays what it is meanwhile; `Outcome.closed` where it is closed.
  func using(_ body: (Int32) -> Int64) -> Int64 {
    guard mutex.retain() else { return Outcome.closed }
    defer { release() }
    return body(number)
  }

  private func release() {
    if mutex.release() { finish() }
  }

  /// The last user has gone.
  @inline(never)
  private func finish() {
    dispose()
    disposed.release()
  }

  // MARK: Deadlines

  func setDeadline(_ mode: PollMode, _ instant: ContinuousClock.Instant?) {
    // The record is somebody else's once the descriptor has been disposed of.
    guard mutex.retain() else { return }
    record?.setDeadline(mode, instant)
    release()
  }

  func deadline(_ mode: PollMode) -> ContinuousClock.Instant? {
    guard mutex.retain() else { return nil }
    defer { release() }
    return record?.deadline(mode)
  }

  /// Waits, alone in reading, without regard to what there is to read; 0, or why it ended early.
  func pause(nanoseconds: Int64) -> Int64 {
    guard mutex.lock(.read) else { return Outcome.closed }
    defer { if mutex.unlock(.read) { finish() } }
    return record?.pause(nanoseconds: nanoseconds).map(Self.outcome) ?? 0
  }

  // MARK: Operations

  /// One operation of a kind of which there may be one at a time in each direction: tried first, then waited for and tried
  /// again.
  @inline(__always)
  func perform(_ mode: PollMode, _ call: (Int32) -> Int64) -> Int64 {
    guard mutex.lock(mode) else { return Outcome.closed }
    let result = performLocked(mode, call)
    if mutex.unlock(mode) { finish() }
    return result
  }

  @inline(__always)
  private func performLocked(_ mode: PollMode, _ call: (Int32) -> Int64) -> Int64 {
    guard let record else { return performBlocking(call) }
    if let failure = record.failure(mode) { return Self.outcome(failure) }
    while true {
      record.forget(mode)
      let result = call(number)
      if result >= 0 { return result }
      if result == -Int64(Number.interrupted) { continue }
      if result != -Int64(Number.again) { return result }
      let outcome = record.wait(mode)
      if outcome != .ready { return Self.outcome(outcome) }
    }
  }

  private func performBlocking(_ call: (Int32) -> Int64) -> Int64 {
    while true {
      Syscall.enter()
      let result = call(number)
      Syscall.exit()
      if result != -Int64(Number.interrupted) { return result }
    }
  }

  /// Reads what there is, at most `count` bytes, by `call`; waits where there is nothing. 0 at the end of the stream, and
  /// at once where nothing is asked for.
  @inline(__always)
  func read(_ count: Int, _ call: (Int32) -> Int64) -> Int64 {
    readExclusively(count) { readLocked(count, call) }
  }

  /// Runs `body` alone in reading, unless nothing is asked for.
  @inline(__always)
  func readExclusively(_ count: Int, _ body: () -> Int64) -> Int64 {
    guard mutex.lock(.read) else { return Outcome.closed }
    let result = count == 0 ? 0 : body()
    if mutex.unlock(.read) { finish() }
    return result
  }

  /// Why an operation must not go on; nil when it may.
  @inline(__always)
  func failure(_ mode: PollMode) -> Int64? {
    record?.failure(mode).map(Self.outcome)
  }

  /// `read` for a caller that is alone in reading.
  @inline(__always)
  func readLocked(_ count: Int, _ call: (Int32) -> Int64) -> Int64 {
    guard tellsDrained, let record else { return performLocked(.read, call) }
    if let failure = record.failure(.read) { return Self.outcome(failure) }
    while true {
      // Most reads of a server come when the last one has taken everything: the system call that would only say so is
      // saved.
      if !record.readsNothing {
        record.forget(.read)
        let result = call(number)
        if result >= 0 {
          record.pointee.isDrained = result > 0 && result < count
          return result
        }
        if result == -Int64(Number.interrupted) { continue }
        if result != -Int64(Number.again) { return result }
      }
      let outcome = record.wait(.read)
      if outcome != .ready { return Self.outcome(outcome) }
      record.pointee.isDrained = false
    }
  }

  /// Writes `count` bytes by `call`, which is told how many are written already and writes some of the rest; alone in
  /// writing from the first to the last. 0, or why not all were written.
  @inline(__always)
  func write(_ count: Int, _ call: (Int32, Int) -> Int64) -> Int64 {
    guard mutex.lock(.write) else { return Outcome.closed }
    var written = 0
    var result: Int64 = 0
    while written < count {
      result = performLocked(.write) { call($0, written) }
      if result < 0 { break }
      // Some devices take nothing and say so. To try again for ever would be no answer.
      if result == 0 {
        result = -Int64(Number.ioError)
        break
      }
      written += Int(result)
      result = 0
    }
    if mutex.unlock(.write) { finish() }
    return result
  }

  @inline(__always)
  private static func outcome(_ outcome: PollOutcome) -> Int64 {
    outcome == .timedOut ? Outcome.timedOut : Outcome.closed
  }
}

/// What went wrong, not yet said to whom it happened: an error number of the system's or one of `Descriptor.Outcome`'s.
struct SystemError: Error {
  /// Negative.
  let outcome: Int64

  init(_ number: Int32) {
    outcome = -Int64(number)
  }

  init(outcome: Int64) {
    self.outcome = outcome
  }

  /// The system's number; 0 where it is not the system's.
  var number: Int32 { outcome > Descriptor.Outcome.closed ? Int32(-outcome) : 0 }

  /// The error of `operation`.
  func saying(_ operation: String) -> NetError {
    switch outcome {
    case Descriptor.Outcome.closed: NetError(kind: .closed, operation: operation)
    case Descriptor.Outcome.timedOut: NetError(kind: .timedOut, operation: operation)
    default: NetError(number, operation)
    }
  }
}
