import CApus
import Synchronization

/// Tracing, from when the first wants it to when the last does not: one file at a time, and one flight recorder.
///
/// A trace is divided into generations, each of which can be read by itself: it begins by saying what every goroutine and
/// every P does. Here each begins while the world stands still. That is some tens of microseconds, beside what is said of
/// each goroutine (about 50 ns), and makes the rest simple: nobody is in the middle of an event, no two threads need
/// agree on the generation they write to. (Go's tracer, which may not stop the world each second, has every thread pass
/// on by itself and settles by sequence numbers what happened meanwhile.) A generation ends when it has many events, so an
/// idle process is not woken, and a reader needs memory for one of them only. With a flight recorder it ends after a time,
/// too: the recorder forgets whole generations.
///
/// A thread of its own writes (`TraceThread`).
struct TraceSession: ~Copyable {
  private enum State: UInt32 {
    case none, running, ending
    /// The file is complete; the thread has yet to end, for which it needs the scheduler's lock.
    case written
  }

  /// Whoever makes `running` of `none` begins the session; its owner makes `ending` of it, and the thread `none`.
  private let state = Atomic<UInt32>(State.none.rawValue)
  /// The process that has begun the session: a child that it forks has not the thread.
  private let process = Atomic<Int32>(0)
  /// Held by whoever begins or ends a file or a recorder, or asks the thread for something.
  private let control = SemaphoreRoot(1)
  // Written under `control`.
  private let hasFile = Atomic<Bool>(false)
  /// The recorder's number; 0 for none.
  private let recorder = Atomic<UInt64>(0)
  /// For the thread; what it has from the beginning stands there, too.
  let request = TraceRequest()
  /// After how many bytes of events the next generation begins.
  let limit = Atomic<Int>(TraceOfRun.standardGenerationSize)

  private static var session: UnsafeMutablePointer<TraceSession> {
    withUnsafeMutablePointer(to: &sched.pointee.trace) { $0 }
  }

  /// A session goes on that another process has begun, whose child this one is.
  private static var isOfParent: Bool {
    session.pointee.state.load(ordering: .acquiring) != State.none.rawValue
      && session.pointee.process.load(ordering: .relaxed) != apus_getpid()
  }

  // MARK: files

  /// Begins a trace into the file at `path`, which is created or emptied. False, with a line on standard error, when that
  /// cannot be, or another trace is on.
  static func begin(_ path: UnsafePointer<CChar>) -> Bool {
    LazyStart.ensure()
    if isOfParent {
      complain(path, "another trace is being written")
      return false
    }
    session.pointee.control.acquire(1, .semaphore)
    defer { session.pointee.control.release() }
    if session.pointee.hasFile.load(ordering: .relaxed) {
      complain(path, "another trace is being written")
      return false
    }
    let descriptor = apus_open_write(path)
    if descriptor < 0 {
      complain(path, "cannot be opened", error: -descriptor)
      return false
    }
    let error = beginFile(descriptor, isAttached: false)
    if error != 0 { complain(path, "has no thread to write it", error: error) }
    return error == 0
  }

  /// Begins a trace into the open file `descriptor`, which is its own from here on, for another process; or why not.
  static func begin(into descriptor: Int32) -> StaticString? {
    if !isOfParent {
      session.pointee.control.acquire(1, .semaphore)
      defer { session.pointee.control.release() }
      if !session.pointee.hasFile.load(ordering: .relaxed) {
        return beginFile(descriptor, isAttached: true) == 0 ? nil : "the trace has no thread to write it"
      }
    }
    _ = apus_close(descriptor)
    return "another trace is being written"
  }

  /// Begins a trace into `descriptor`, under `control` and where there is no file; 0 or an errno.
  private static func beginFile(_ descriptor: Int32, isAttached: Bool) -> Int32 {
    session.pointee.request.descriptor.store(descriptor, ordering: .relaxed)
    session.pointee.request.isAttached.store(isAttached, ordering: .relaxed)
    session.pointee.request.fault.store(.none, ordering: .relaxed)
    if isOn {
      session.pointee.request.ask(.beginFile)
    } else {
      session.pointee.request.maxBytes.store(0, ordering: .relaxed)
      let error = beginSession()
      if error != 0 {
        _ = apus_close(descriptor)
        return error
      }
    }
    session.pointee.hasFile.store(true, ordering: .relaxed)
    return 0
  }

  /// Ends what `begin(into:)` has begun, as `end`; what the file lacks, if it does.
  static func endAttached() -> StaticString? {
    end()
    switch session.pointee.request.fault.load(ordering: .relaxed) {
    case .none: return nil
    case .notWritten: return "the trace could not be written: there may be no room for it"
    case .withoutMemory: return "the trace lacks events, for want of memory"
    }
  }

  /// Ends the trace that goes to a file, if there is one, and returns when the file is complete.
  static func end() {
    if isOfParent { return }
    session.pointee.control.acquire(1, .semaphore)
    defer { session.pointee.control.release() }
    guard session.pointee.hasFile.load(ordering: .relaxed) else { return }
    if recorder != 0 { session.pointee.request.ask(.endFile) } else { endSession() }
    session.pointee.hasFile.store(false, ordering: .relaxed)
  }

  // MARK: flight recorders

  /// The number of the recorder that is on; 0 for none.
  static var recorder: UInt64 { session.pointee.recorder.load(ordering: .acquiring) }

  /// Begins to record for the recorder `number`. The number of one that is on already, or nil; and the kernel's error.
  static func beginRecording(_ number: UInt64, minAge: Int64, maxBytes: Int) -> (other: UInt64?, error: Int32) {
    LazyStart.ensure()
    if isOfParent { return (recorder, 0) }
    session.pointee.control.acquire(1, .semaphore)
    defer { session.pointee.control.release() }
    if recorder != 0 { return (recorder, 0) }
    session.pointee.request.minAge.store(minAge, ordering: .relaxed)
    session.pointee.request.maxBytes.store(maxBytes, ordering: .relaxed)
    if isOn {
      session.pointee.request.ask(.beginRecording)
    } else {
      session.pointee.request.descriptor.store(-1, ordering: .relaxed)
      let error = beginSession()
      if error != 0 { return (nil, error) }
    }
    session.pointee.recorder.store(number, ordering: .releasing)
    return (nil, 0)
  }

  /// Ends what `beginRecording` has begun for this recorder.
  static func endRecording(_ number: UInt64) {
    if isOfParent { return }
    session.pointee.control.acquire(1, .semaphore)
    defer { session.pointee.control.release() }
    guard recorder == number else { return }
    if session.pointee.hasFile.load(ordering: .relaxed) {
      session.pointee.request.ask(.endRecording)
    } else {
      endSession()
    }
    session.pointee.recorder.store(0, ordering: .releasing)
  }

  /// A trace of what the recorder remembers, in parts; nil when it is not on.
  static func snapshot(of number: UInt64) -> [[UInt8]]? {
    if isOfParent { return nil }
    session.pointee.control.acquire(1, .semaphore)
    defer { session.pointee.control.release() }
    guard recorder == number else { return nil }
    let snapshot = TraceSnapshot()
    session.pointee.request.snapshot.store(Unmanaged.passUnretained(snapshot).toOpaque(), ordering: .relaxed)
    session.pointee.request.ask(.snapshot)
    return withExtendedLifetime(snapshot) { [TraceFormat.header] + snapshot.generations }
  }

  // MARK: the session

  private static var isOn: Bool { session.pointee.state.load(ordering: .relaxed) == State.running.rawValue }

  /// Begins the session with what `request` says, under `control`; the kernel's error, 0 for none.
  private static func beginSession() -> Int32 {
    _ = change(.none, to: .running)
    session.pointee.process.store(apus_getpid(), ordering: .relaxed)
    session.pointee.request.post(.beginSession)
    // Before there is anything to be seen of a trace: who exits then waits for `control`, and ends it.
    apus_trace_end_at_exit { TraceSession.endAtExit() }
    let error = TraceThread.start()
    if error != 0 {
      session.pointee.request.answer()
      session.pointee.state.store(State.none.rawValue, ordering: .releasing)
      return error
    }
    StopTheWorld.run(for: .trace) { TraceGeneration.beginSession(on: $0) }
    session.pointee.request.wait(for: .beginSession)
    return 0
  }

  /// Ends the session, under `control`, and returns when the thread has written everything.
  private static func endSession() {
    if change(.running, to: .ending) {
      StopTheWorld.run(for: .trace) { TraceGeneration.endSession(on: $0) }
      apus_trace_wake_writer()
    }
    Syscall.enter()
    var now = session.pointee.state.load(ordering: .acquiring)
    while now != State.none.rawValue {
      Futex.wait(address, while: now)
      now = session.pointee.state.load(ordering: .acquiring)
    }
    Syscall.exit()
  }

  /// The process exits.
  private static func endAtExit() {
    if isOfParent { return }
    session.pointee.control.acquire(1, .semaphore)
    defer { session.pointee.control.release() }
    endSession()
    session.pointee.hasFile.store(false, ordering: .relaxed)
    session.pointee.recorder.store(0, ordering: .releasing)
  }

  /// The same while a fatal report ends the process, and the world is stopped as far as that goes: who is in the middle of
  /// an event may be stopped there, and the scheduler's lock may be held for ever. The thread may wait for malloc's lock,
  /// which the failed code holds: then the file stays incomplete.
  static func endForReport() {
    if isOfParent || !change(.running, to: .ending) { return }
    apus_trace_switch(false)
    Thread.sleep(nanoseconds: 1_000_000)
    TraceGeneration.flush()
    apus_trace_wake_writer()
    let end = Clock.nanotime() &+ 2_000_000_000
    while session.pointee.state.load(ordering: .acquiring) == State.ending.rawValue && Clock.nanotime() < end {
      Futex.wait(address, while: State.ending.rawValue, nanoseconds: 10_000_000)
    }
  }

  private static func change(_ from: State, to: State) -> Bool {
    session.pointee.state.compareExchange(
      expected: from.rawValue, desired: to.rawValue, ordering: .acquiringAndReleasing
    ).exchanged
  }

  private static var address: UnsafeMutablePointer<UInt32> { Futex.address(of: session.pointee.state) }

  // MARK: for the thread

  /// All buffers are there, and no more will be.
  var isEnding: Bool { !Trace.isOn && state.load(ordering: .acquiring) == State.ending.rawValue }

  /// Everything is written; the thread ends.
  func hasWritten() { turn(.written) }
  func hasEnded() { turn(.none) }

  private func turn(_ next: State) {
    state.store(next.rawValue, ordering: .releasing)
    Futex.wake(Futex.address(of: state), count: .max)
  }

  static func complain(_ path: UnsafePointer<CChar>, _ what: StaticString, error: Int32 = 0) {
    BootMessage.report { message in
      message.add("trace: ")
      message.add(value: ByteText(cString: path))
      message.add(": ")
      message.add(what)
      if error != 0 {
        message.add(": ")
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
          let length = apus_error_text(error, text.baseAddress, text.count)
          message.add(value: ByteText(start: text.baseAddress.unsafelyUnwrapped, count: Int(length)))
        }
      }
    }
  }
}
