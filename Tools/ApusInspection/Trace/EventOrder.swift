/// Replays events, and says which may come next: a thread's events are in order, but clocks of two processors may differ, so
/// a goroutine may seem to start before another thread has woken it.
struct EventOrder {
  /// What a goroutine does. The numbers are the format's.
  enum GoroutineStatus: UInt64 {
    case runnable = 1
    case running, syscall, waiting
  }

  /// The numbers are the format's.
  private enum ProcessorStatus: UInt64 {
    case running = 1
    case idle, syscall, abandoned
  }

  /// What a thread has in hand.
  struct Context {
    var goroutine: UInt64?
    var processor: UInt64?
  }

  /// How many events a goroutine or a processor has had in a generation.
  private struct Sequence {
    var generation: UInt64
    var number: UInt64
    func isFollowed(by next: UInt64, in generation: UInt64) -> Bool {
      self.generation == generation && number + 1 == next
    }
  }

  private struct Goroutine {
    var status: GoroutineStatus
    var sequence: Sequence
  }

  private struct Processor {
    var status: ProcessorStatus
    var sequence: Sequence
  }

  private var goroutines: [UInt64: Goroutine] = [:]
  private var processors: [UInt64: Processor] = [:]
  private var threads: [UInt64: Context] = [:]
  private var collections: UInt64?
  private var firstGeneration: UInt64?

  /// What `thread` has in hand.
  func context(of thread: UInt64?) -> Context { thread.flatMap { threads[$0] } ?? Context() }

  /// Does what the event says. False, and nothing, when something of another thread has to come first.
  /// - Throws: `TraceFault` where it cannot be, whatever comes first.
  mutating func advance(_ event: TraceEvent, in generation: UInt64) throws -> Bool {
    if firstGeneration == nil { firstGeneration = generation }
    var context = context(of: event.thread)
    let isDone =
      switch event.kind {
      case .procStart, .procStop, .procSteal, .procStatus: try advanceProcessor(event, generation, &context)
      case .goSyscallBegin, .goSyscallEnd, .goSyscallEndBlocked, .goCreateSyscall, .goDestroySyscall:
        try advanceCall(event, generation, &context)
      case .goStatus, .goStatusStack: try advanceStatus(event, generation, &context)
      case .gcActive, .gcBegin, .gcEnd: advanceCollection(event)
      case .goCreate, .goCreateBlocked, .goStart, .goDestroy, .goStop, .goBlock, .goUnblock, .goSwitch,
        .goSwitchDestroy:
        try advanceGoroutine(event, generation, &context)
      default: true
      }
    // A theft may have changed another thread's meanwhile, never this one's.
    if isDone, let thread = event.thread { threads[thread] = context }
    return isDone
  }

  private func fault(_ event: TraceEvent, _ what: String) -> TraceFault {
    TraceFault("\(event.kind) of thread \(event.thread.map(String.init) ?? "none"): \(what)", at: event.offset)
  }

  private mutating func advanceProcessor(
    _ event: TraceEvent, _ generation: UInt64, _ context: inout Context
  ) throws -> Bool {
    let (id, number) = (event.arguments[0], event.arguments[1])
    switch event.kind {
    case .procStart:
      guard let processor = processors[id], processor.status == .idle, context.processor == nil,
        processor.sequence.isFollowed(by: number, in: generation)
      else { return false }
      processors[id] = Processor(status: .running, sequence: Sequence(generation: generation, number: number))
      context.processor = id
    case .procStop:
      guard let id = context.processor, let status = processors[id]?.status, status == .running || status == .syscall
      else { throw fault(event, "it has no processor") }
      processors[id]?.status = .idle
      context.processor = nil
    case .procSteal:
      guard let processor = processors[id], processor.status == .syscall || processor.status == .abandoned,
        processor.sequence.isFollowed(by: number, in: generation)
      else { return false }
      processors[id] = Processor(status: .idle, sequence: Sequence(generation: generation, number: number))
      if processor.status == .abandoned { break }
      let victim = event.arguments[2]
      guard self.context(of: victim).processor == id else {
        throw fault(event, "processor \(id) is not thread \(victim)'s")
      }
      if victim == event.thread { context.processor = nil } else { threads[victim]?.processor = nil }
    default:
      guard let status = ProcessorStatus(rawValue: number) else { throw fault(event, "no status has number \(number)") }
      let isPossible =
        switch (processors[id]?.status, status) {
        case (nil, _), (.syscall, .abandoned): true
        case (let known, _): known == status
        }
      guard isPossible else { throw fault(event, "processor \(id) is said to be \(status), which it is not") }
      processors[id] = Processor(
        status: processors[id]?.status ?? status, sequence: Sequence(generation: generation, number: 0))
      if status == .running || status == .syscall { context.processor = id }
    }
    return true
  }

  private mutating func advanceStatus(
    _ event: TraceEvent, _ generation: UInt64, _ context: inout Context
  ) throws -> Bool {
    let (id, thread) = (event.arguments[0], event.arguments[1])
    guard let status = GoroutineStatus(rawValue: event.arguments[2]) else {
      throw fault(event, "no status has number \(event.arguments[2])")
    }
    if let known = goroutines[id] {
      guard known.status == status else {
        throw fault(event, "goroutine \(id) is said to be \(status), and is \(known.status)")
      }
    } else if generation != firstGeneration {
      throw fault(event, "goroutine \(id) appears from nowhere")
    }
    goroutines[id] = Goroutine(status: status, sequence: Sequence(generation: generation, number: 0))
    switch status {
    case .running: context.goroutine = id
    case .syscall where thread == event.thread: context.goroutine = id
    case .syscall where thread != .max:
      if let other = threads[thread]?.goroutine, other != id {
        throw fault(event, "thread \(thread) has goroutine \(other), not \(id)")
      }
      threads[thread, default: Context()].goroutine = id
    case .syscall: throw fault(event, "goroutine \(id) is in a system call without a thread")
    case .runnable, .waiting: break
    }
    return true
  }

  private mutating func advanceGoroutine(
    _ event: TraceEvent, _ generation: UInt64, _ context: inout Context
  ) throws -> Bool {
    let (id, number) = (event.arguments[0], event.arguments[1])
    let sequence = Sequence(generation: generation, number: number)
    switch event.kind {
    case .goCreate, .goCreateBlocked:
      guard context.processor != nil else { throw fault(event, "it has no processor") }
      guard goroutines[id] == nil else { throw fault(event, "there is a goroutine \(id)") }
      goroutines[id] = Goroutine(
        status: event.kind == .goCreate ? .runnable : .waiting, sequence: Sequence(generation: generation, number: 0))
    case .goStart:
      guard let goroutine = goroutines[id], goroutine.status == .runnable,
        goroutine.sequence.isFollowed(by: number, in: generation)
      else { return false }
      guard context.processor != nil, context.goroutine == nil else {
        throw fault(event, "it has \(context.processor == nil ? "no processor" : "a goroutine")")
      }
      goroutines[id] = Goroutine(status: .running, sequence: sequence)
      context.goroutine = id
    case .goUnblock:
      guard let goroutine = goroutines[id], goroutine.status == .waiting,
        goroutine.sequence.isFollowed(by: number, in: generation)
      else { return false }
      goroutines[id] = Goroutine(status: .runnable, sequence: sequence)
    case .goSwitch, .goSwitchDestroy:
      let current = try running(event, context)
      guard let goroutine = goroutines[id], goroutine.status == .waiting,
        goroutine.sequence.isFollowed(by: number, in: generation)
      else { return false }
      if event.kind == .goSwitch { goroutines[current]?.status = .waiting } else { goroutines[current] = nil }
      goroutines[id] = Goroutine(status: .running, sequence: sequence)
      context.goroutine = id
    default:
      let current = try running(event, context)
      switch event.kind {
      case .goDestroy: goroutines[current] = nil
      case .goStop: goroutines[current]?.status = .runnable
      default: goroutines[current]?.status = .waiting
      }
      context.goroutine = nil
    }
    return true
  }

  private mutating func advanceCall(
    _ event: TraceEvent, _ generation: UInt64, _ context: inout Context
  ) throws -> Bool {
    switch event.kind {
    case .goSyscallBegin:
      let (current, number) = (try running(event, context), event.arguments[0])
      guard let id = context.processor, processors[id]?.sequence.isFollowed(by: number, in: generation) == true else {
        throw fault(event, "its processor cannot have event \(number) now")
      }
      processors[id] = Processor(status: .syscall, sequence: Sequence(generation: generation, number: number))
      goroutines[current]?.status = .syscall
    case .goCreateSyscall:
      let id = event.arguments[0]
      guard goroutines[id] == nil, context.goroutine == nil else { throw fault(event, "there is a goroutine") }
      goroutines[id] = Goroutine(status: .syscall, sequence: Sequence(generation: generation, number: 0))
      context.goroutine = id
    case .goSyscallEnd:
      let current = try calling(event, context)
      guard let id = context.processor, processors[id]?.status == .syscall else {
        throw fault(event, "it has no processor that waits for it")
      }
      processors[id]?.status = .running
      goroutines[current]?.status = .running
    case .goSyscallEndBlocked:
      // Its processor has to be taken first.
      if let id = context.processor, processors[id]?.status == .syscall { return false }
      goroutines[try calling(event, context)]?.status = .runnable
      context.goroutine = nil
    default:
      goroutines[try calling(event, context)] = nil
      if let id = context.processor { processors[id]?.status = .abandoned }
      context = Context()
    }
    return true
  }

  private func running(_ event: TraceEvent, _ context: Context) throws -> UInt64 {
    guard let id = context.goroutine, goroutines[id]?.status == .running, context.processor != nil else {
      throw fault(event, "no goroutine runs there")
    }
    return id
  }

  private func calling(_ event: TraceEvent, _ context: Context) throws -> UInt64 {
    guard let id = context.goroutine, goroutines[id]?.status == .syscall else {
      throw fault(event, "no goroutine is in a system call there")
    }
    return id
  }

  /// Collections' events are numbered through all generations.
  private mutating func advanceCollection(_ event: TraceEvent) -> Bool {
    let number = event.arguments[0]
    if event.kind != .gcActive, let collections, number != collections + 1 { return false }
    collections = number
    return true
  }
}
