import CApus
import Synchronization

/// One trace at a time: its beginning, its generations, its end.
///
/// A trace is divided into generations, each of which can be read by itself: it begins by saying what every goroutine and
/// every P does. Here each begins while the world stands still. That is some tens of microseconds, beside what is said of
/// each goroutine (about 50 ns), and makes the rest simple: nobody is in the middle of an event, no two threads need
/// agree on the generation they write to. (Go's tracer, which may not stop the world each second, has every thread pass
/// on by itself and settles by sequence numbers what happened meanwhile.) A generation ends when it has many events, so an
/// idle process is not woken, and a reader needs memory for one of them only.
///
/// The file is written by a thread of its own, which is no goroutine's: it allocates, waits for the disk, and reads
/// symbol tables. It stops the world for the next generation as any other thread that is not the runtime's could.
struct TraceSession: ~Copyable {
  private enum State: UInt32 {
    case none, running, ending
  }

  private enum Fault: UInt8, AtomicRepresentable {
    case none, notWritten, withoutMemory
  }

  /// Whoever makes `running` of `none` begins the trace; its owner makes `ending` of it, and the thread `none`.
  private let state = Atomic<UInt32>(State.none.rawValue)
  /// The file; the thread's once it is started.
  private let descriptor = Atomic<Int32>(-1)
  /// Whether another process asked for it, which is told of faults in place of standard error; and the fault.
  private let isAttached = Atomic<Bool>(false)
  private let fault = Atomic<Fault>(.none)
  /// The process that has begun the trace: a child that it forks has not the thread.
  private let process = Atomic<Int32>(0)
  /// After how many bytes of events the next generation begins.
  let limit = Atomic<Int>(TraceOfRun.standardGenerationSize)

  /// Begins a trace into the file at `path`, which is created or emptied. False, with a line on standard error, when that
  /// cannot be, or another trace is on.
  static func begin(_ path: UnsafePointer<CChar>) -> Bool {
    LazyStart.ensure()
    guard change(.none, to: .running) else {
      complain(path, "another trace is being written")
      return false
    }
    let descriptor = apus_open_write(path)
    if descriptor < 0 {
      complain(path, "cannot be opened", error: -descriptor)
      sched.pointee.trace.state.store(State.none.rawValue, ordering: .releasing)
      return false
    }
    let error = start(descriptor, isAttached: false)
    if error != 0 { complain(path, "has no thread to write it", error: error) }
    return error == 0
  }

  /// Begins a trace into the open file `descriptor`, which is its own from here on, for another process; or why not.
  static func begin(into descriptor: Int32) -> StaticString? {
    guard change(.none, to: .running) else {
      _ = apus_close(descriptor)
      return "another trace is being written"
    }
    return start(descriptor, isAttached: true) == 0 ? nil : "the trace has no thread to write it"
  }

  /// Begins it, by whoever has made it `running`; 0 or an errno.
  private static func start(_ descriptor: Int32, isAttached: Bool) -> Int32 {
    sched.pointee.trace.descriptor.store(descriptor, ordering: .relaxed)
    sched.pointee.trace.process.store(apus_getpid(), ordering: .relaxed)
    sched.pointee.trace.isAttached.store(isAttached, ordering: .relaxed)
    sched.pointee.trace.fault.store(.none, ordering: .relaxed)
    let error = ServiceThread.start { TraceSession.run($0) }
    if error != 0 {
      _ = apus_close(descriptor)
      sched.pointee.trace.state.store(State.none.rawValue, ordering: .releasing)
      return error
    }
    apus_trace_end_at_exit { TraceSession.end() }
    StopTheWorld.run(for: .trace) { TraceGeneration.beginSession(on: $0) }
    return 0
  }

  /// Ends what `begin(into:)` has begun, as `end`; what the file lacks, if it does.
  static func endAttached() -> StaticString? {
    end()
    switch sched.pointee.trace.fault.load(ordering: .relaxed) {
    case .none: return nil
    case .notWritten: return "the trace could not be written: there may be no room for it"
    case .withoutMemory: return "the trace lacks events, for want of memory"
    }
  }

  /// Ends the trace that is on, if there is one, and returns when the file is complete.
  static func end() {
    guard sched.pointee.trace.process.load(ordering: .relaxed) == apus_getpid() else { return }
    if change(.running, to: .ending) {
      StopTheWorld.run(for: .trace) { TraceGeneration.endSession(on: $0) }
      apus_trace_wake_writer()
    }
    Syscall.enter()
    while sched.pointee.trace.state.load(ordering: .acquiring) == State.ending.rawValue {
      Futex.wait(address, while: State.ending.rawValue)
    }
    Syscall.exit()
  }

  /// The same while a fatal report ends the process, and the world is stopped as far as that goes: who is in the middle of
  /// an event may be stopped there. The thread may wait for malloc's lock, which the failed code holds: then the file
  /// stays incomplete.
  static func endForReport() {
    guard sched.pointee.trace.process.load(ordering: .relaxed) == apus_getpid(), change(.running, to: .ending) else {
      return
    }
    apus_trace_switch(false)
    Thread.sleep(nanoseconds: 1_000_000)
    TraceGeneration.flush()
    apus_trace_wake_writer()
    let end = Clock.nanotime() &+ 2_000_000_000
    while sched.pointee.trace.state.load(ordering: .acquiring) == State.ending.rawValue && Clock.nanotime() < end {
      Futex.wait(address, while: State.ending.rawValue, nanoseconds: 10_000_000)
    }
  }

  private static func change(_ from: State, to: State) -> Bool {
    sched.pointee.trace.state.compareExchange(
      expected: from.rawValue, desired: to.rawValue, ordering: .acquiringAndReleasing
    ).exchanged
  }

  private static var address: UnsafeMutablePointer<UInt32> { Futex.address(of: sched.pointee.trace.state) }

  // MARK: the thread

  private static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let m = ServiceThread.begin(argument, name: "apus-trace")
    write(on: m)
    sched.pointee.trace.descriptor.store(-1, ordering: .relaxed)
    ServiceThread.end(m)
    sched.pointee.trace.state.store(State.none.rawValue, ordering: .releasing)
    Futex.wake(address, count: .max)
    return nil
  }

  private static func write(on m: MRef) {
    var file = TraceFile(descriptor: sched.pointee.trace.descriptor.load(ordering: .relaxed))
    var hasBegun = false
    while true {
      apus_trace_wait()
      // Before the buffers: with the session's end all of them are there.
      let isLast = !Trace.isOn && sched.pointee.trace.state.load(ordering: .acquiring) == State.ending.rawValue
      if let buffers = apus_trace_take_full() {
        if !hasBegun { file.begin(buffers.pointee.generation) }
        hasBegun = true
        file.write(buffers)
      }
      if isLast { break }
      if file.size >= sched.pointee.trace.limit.load(ordering: .relaxed) { advance(&file, on: m) }
    }
    file.end()
    let isAttached = sched.pointee.trace.isAttached.load(ordering: .relaxed)
    if file.error != 0 {
      sched.pointee.trace.fault.store(.notWritten, ordering: .relaxed)
      if !isAttached { complain("the file", "is not complete", error: file.error) }
    } else if apus_trace_has_lost() {
      sched.pointee.trace.fault.store(.withoutMemory, ordering: .relaxed)
      if !isAttached { complain("the file", "lacks events, for want of memory") }
    }
    file.close()
  }

  /// Goes on to the next generation, unless the trace has ended meanwhile.
  private static func advance(_ file: inout TraceFile, on m: MRef) {
    var last: UnsafeMutablePointer<apus_trace_buffer>?
    var next: UInt64 = 0
    ServiceThread.whileOthersWait(m) {
      StopTheWorld.run(for: .trace) { m in
        if !Trace.isOn { return }
        if TraceGeneration.advance(on: m, last: &last) { next = apus_trace_generation() }
      }
    }
    if next == 0 { return }
    file.write(last)
    file.end()
    file.begin(next)
  }

  private static func complain(_ path: UnsafePointer<CChar>, _ what: StaticString, error: Int32 = 0) {
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
