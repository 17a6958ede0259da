/// An event as a thread wrote it.
package struct TraceEvent {
  /// The kinds of events that threads write; the numbers are the format's. An argument called "sequence" counts what
  /// happened to that goroutine or processor: by it events of several threads are put in order.
  package enum Kind: UInt8 {
    /// How many processors, stack.
    case procsChange = 9
    /// Processor, sequence.
    case procStart
    case procStop
    /// Processor, sequence, thread.
    case procSteal
    /// Processor, status.
    case procStatus
    /// Goroutine, its stack, stack.
    case goCreate
    /// Goroutine.
    case goCreateSyscall
    /// Goroutine, sequence.
    case goStart
    case goDestroy
    case goDestroySyscall
    /// Reason, stack.
    case goStop
    /// Reason, stack.
    case goBlock
    /// Goroutine, sequence, stack.
    case goUnblock
    /// The processor's sequence, stack.
    case goSyscallBegin
    case goSyscallEnd
    case goSyscallEndBlocked
    /// Goroutine, thread, status.
    case goStatus
    /// Why, stack.
    case stopBegin
    case stopEnd
    /// Sequence.
    case gcActive
    /// Sequence, stack.
    case gcBegin
    /// Sequence.
    case gcEnd
    /// Processor.
    case sweepActive
    /// Stack.
    case sweepBegin
    /// Bytes swept, bytes free again.
    case sweepEnd
    /// Goroutine.
    case assistActive
    /// Stack.
    case assistBegin
    case assistEnd
    /// Bytes.
    case heapAlloc
    /// Bytes.
    case heapGoal
    /// Label.
    case goLabel
    /// Task, its parent, name, stack.
    case taskBegin
    /// Task, stack.
    case taskEnd
    /// Task, name, stack.
    case regionBegin
    /// Task, name, stack.
    case regionEnd
    /// Task, key, value, stack.
    case userLog
    /// Goroutine, sequence.
    case goSwitch
    /// Goroutine, sequence.
    case goSwitchDestroy
    /// Goroutine, its stack, stack.
    case goCreateBlocked
    /// Goroutine, thread, status, stack.
    case goStatusStack

    /// How many numbers follow the time.
    var argumentCount: Int {
      switch self {
      case .procStop, .goDestroy, .goDestroySyscall, .goSyscallEnd, .goSyscallEndBlocked, .stopEnd, .assistEnd: 0
      case .goCreateSyscall, .gcActive, .gcEnd, .sweepActive, .sweepBegin, .assistActive, .assistBegin, .heapAlloc,
        .heapGoal, .goLabel:
        1
      case .procsChange, .procStart, .procStatus, .goStart, .goStop, .goBlock, .goSyscallBegin, .stopBegin, .gcBegin,
        .sweepEnd, .taskEnd, .goSwitch, .goSwitchDestroy:
        2
      case .procSteal, .goCreate, .goUnblock, .goStatus, .regionBegin, .regionEnd, .goCreateBlocked: 3
      case .taskBegin, .userLog, .goStatusStack: 4
      }
    }

    /// Which of the numbers is the stack that the event happened on.
    var stackArgument: Int? {
      switch self {
      case .assistBegin, .sweepBegin: 0
      case .procsChange, .goStop, .goBlock, .goSyscallBegin, .stopBegin, .gcBegin, .taskEnd: 1
      case .goCreate, .goCreateBlocked, .goUnblock, .regionBegin, .regionEnd: 2
      case .taskBegin, .userLog, .goStatusStack: 3
      default: nil
      }
    }
  }

  package var kind: Kind
  /// In the trace's units.
  package var time: UInt64
  /// The thread that wrote it, or that it was written for; nil for what is no thread's.
  package var thread: UInt64?
  package var arguments: InlineArray<4, UInt64>
  /// Where it begins in the file.
  package var offset: Int
}

/// One thread's events of one generation, in the order in which it wrote them.
struct EventStream {
  let thread: UInt64?
  /// Its batches from the last to the first: the first one left is taken off the end.
  private var batches: [(time: UInt64, bytes: ByteCursor)] = []
  private var time: UInt64 = 0
  private var bytes = ByteCursor([])
  /// The next event; nil when there is none any more.
  private(set) var next: TraceEvent?

  init(thread: UInt64?, batches: [(time: UInt64, bytes: ByteCursor)]) throws {
    self.thread = thread
    self.batches = batches.reversed()
    try advance()
  }

  mutating func advance() throws {
    next = nil
    while bytes.isEmpty {
      guard let batch = batches.popLast() else { return }
      (time, bytes) = batch
    }
    let offset = bytes.position
    let number = try bytes.byte()
    guard let kind = TraceEvent.Kind(rawValue: number) else {
      throw TraceFault("no event has number \(number)", at: offset)
    }
    let (sum, isTooLate) = time.addingReportingOverflow(try bytes.number())
    if isTooLate { throw TraceFault("a time of more than 64 bits", at: offset) }
    time = sum
    var event = TraceEvent(kind: kind, time: time, thread: thread, arguments: InlineArray(repeating: 0), offset: offset)
    for index in 0..<kind.argumentCount { event.arguments[index] = try bytes.number() }
    next = event
  }
}
