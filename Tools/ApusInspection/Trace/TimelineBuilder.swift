/// Makes a timeline of events.
struct TimelineBuilder {
  private struct StackKey: Hashable {
    var generation: UInt64
    var number: UInt64
  }

  private struct Open {
    var activity: Timeline.Activity
    var start: Int64
    var processor: Int32 = -1
    var reason: Int32 = 0
    var stack: Int32 = 0
  }

  private var timeline = Timeline()
  private var places: [UInt64: Int] = [:]
  private var open: [UInt64: Open] = [:]
  private var processorPlaces: [UInt64: Int] = [:]
  private var textNumbers: [String: Int32] = ["": 0]
  private var stackNumbers: [StackKey: Int32] = [:]
  private var knownStacks: [[TraceFrame]: Int32] = [[]: 0]
  private var openPhases: [Timeline.Phase.Kind: Int64] = [:]
  private var annotations = AnnotationBuilder()
  private var origin: Int64?
  private var latest: Int64 = 0

  mutating func add(_ item: TraceReader.Item) {
    let event = item.event
    if origin == nil { origin = item.time }
    // The order that is possible is not wholly that of the clock: a while is never of negative length.
    let time = max(item.time - (origin ?? 0), 0)
    latest = max(latest, time)
    timeline.eventCount += 1
    let processor = item.processor.map { Int32(truncatingIfNeeded: $0) } ?? -1
    let stack = event.kind.stackArgument.map { number(ofStack: event.arguments[$0], item) } ?? 0
    let first = event.arguments[0]
    switch event.kind {
    case .goCreate, .goCreateBlocked:
      let place = place(of: first)
      timeline.goroutines[place].function = number(of: item.frames(event.arguments[1]).first?.function ?? "")
      timeline.goroutines[place].creator = item.goroutine
      timeline.goroutines[place].createdAt = stack
      begin(first, event.kind == .goCreate ? .runnable : .blocked, at: time)
    case .goStatus, .goStatusStack: addStatus(item, at: time, stack: stack, processor: processor)
    case .goStart: begin(first, .running, at: time, processor: processor)
    case .goUnblock: begin(first, .runnable, at: time)
    case .goStop, .goBlock:
      guard let goroutine = item.goroutine else { return }
      name(goroutine, by: stack)
      let reason = item.text(first)
      if event.kind == .goStop && reason == "preempted", let processor = item.processor {
        timeline.preemptions.append((processor, time))
      }
      begin(
        goroutine, event.kind == .goStop ? .runnable : .blocked, at: time, reason: number(of: reason), stack: stack)
    case .goSyscallBegin:
      guard let goroutine = item.goroutine else { return }
      name(goroutine, by: stack)
      begin(goroutine, .syscall, at: time, processor: processor, stack: stack)
    case .goCreateSyscall: begin(first, .syscall, at: time)
    case .goSyscallEnd:
      if let goroutine = item.goroutine { begin(goroutine, .running, at: time, processor: processor) }
    case .goSyscallEndBlocked: if let goroutine = item.goroutine { begin(goroutine, .runnable, at: time) }
    case .goDestroy, .goDestroySyscall: if let goroutine = item.goroutine { end(goroutine, at: time) }
    case .goSwitch, .goSwitchDestroy:
      guard let goroutine = item.goroutine else { return }
      if event.kind == .goSwitch { begin(goroutine, .blocked, at: time) } else { end(goroutine, at: time) }
      begin(first, .running, at: time, processor: processor)
    case .procStop: if let goroutine = item.goroutine { leaveProcessor(goroutine, at: time) }
    case .procStart:
      if let goroutine = item.goroutine { takeProcessor(Int32(truncatingIfNeeded: first), goroutine, time) }
    case .procStatus: _ = place(ofProcessor: first)
    case .stopBegin: openPhases[.stopTheWorld] = time
    case .stopEnd: endPhase(.stopTheWorld, at: time)
    case .gcBegin, .gcActive: if openPhases[.collection] == nil { openPhases[.collection] = time }
    case .gcEnd: endPhase(.collection, at: time)
    case .taskBegin:
      annotations.beginTask(first, below: event.arguments[1], number(of: item.text(event.arguments[2])), at: time)
    case .taskEnd: annotations.endTask(first, at: time)
    case .regionBegin, .regionEnd, .userLog: addAnnotation(item, at: time)
    default: break
    }
  }

  private mutating func addAnnotation(_ item: TraceReader.Item, at time: Int64) {
    guard let goroutine = item.goroutine else { return }
    let (place, arguments) = (Int32(place(of: goroutine)), item.event.arguments)
    let text = number(of: item.text(arguments[1]))
    switch item.event.kind {
    case .regionBegin: annotations.beginRegion(text, of: arguments[0], on: place, at: time)
    case .regionEnd: annotations.endRegion(text, of: arguments[0], on: place, at: time)
    default:
      timeline.logs.append(
        Timeline.Log(goroutine: place, time: time, category: text, message: number(of: item.text(arguments[2]))))
    }
  }

  mutating func finish() -> Timeline {
    for id in Array(open.keys) { close(id, at: latest) }
    for kind in Array(openPhases.keys) { endPhase(kind, at: latest) }
    for (index, goroutine) in timeline.goroutines.enumerated() {
      for span in goroutine.spans where span.processor >= 0 {
        let place = place(ofProcessor: UInt64(span.processor))
        let run = Timeline.Processor.Run(start: span.start, end: span.end, goroutine: Int32(index))
        timeline.processors[place].runs.append(run)
      }
    }
    for index in timeline.processors.indices {
      timeline.processors[index].runs.sort { ($0.start, $0.end) < ($1.start, $1.end) }
    }
    timeline.processors.sort { $0.id < $1.id }
    timeline.phases.sort { $0.start < $1.start }
    (timeline.tasks, timeline.regions) = annotations.finish(at: latest)
    timeline.duration = latest
    return timeline
  }

  private mutating func addStatus(_ item: TraceReader.Item, at time: Int64, stack: Int32, processor: Int32) {
    let id = item.event.arguments[0]
    let isNew = places[id] == nil
    _ = place(of: id)
    name(id, by: stack)
    // Said anew at the beginning of a generation: nothing has changed.
    if !isNew && open[id] != nil { return }
    switch EventOrder.GoroutineStatus(rawValue: item.event.arguments[2]) {
    case .running: begin(id, .running, at: time, processor: processor)
    case .runnable: begin(id, .runnable, at: time, stack: stack)
    case .syscall: begin(id, .syscall, at: time, processor: -1, stack: stack)
    case .waiting: begin(id, .blocked, at: time, stack: stack)
    case nil: break
    }
  }

  /// What the goroutine is called whose beginning is not in the trace: after the outermost function of a stack of its.
  private mutating func name(_ goroutine: UInt64, by stack: Int32) {
    let place = place(of: goroutine)
    guard timeline.goroutines[place].function == 0, let frame = timeline.stacks[Int(stack)].last else { return }
    timeline.goroutines[place].function = number(of: frame.function)
  }

  // MARK: what is open

  private mutating func begin(
    _ id: UInt64, _ activity: Timeline.Activity, at time: Int64, processor: Int32 = -1, reason: Int32 = 0,
    stack: Int32 = 0
  ) {
    close(id, at: time)
    open[id] = Open(activity: activity, start: time, processor: processor, reason: reason, stack: stack)
  }

  private mutating func close(_ id: UInt64, at time: Int64) {
    let place = place(of: id)
    guard let last = open.removeValue(forKey: id) else { return }
    let span = Timeline.Span(
      start: last.start, end: max(time, last.start), activity: last.activity, processor: last.processor,
      reason: last.reason, stack: last.stack)
    timeline.goroutines[place].spans.append(span)
  }

  private mutating func end(_ id: UInt64, at time: Int64) {
    close(id, at: time)
    annotations.endRegions(on: Int32(place(of: id)), at: time)
    timeline.goroutines[place(of: id)].hasEnded = true
  }

  /// Its thread has lost the processor and goes on with the goroutine, in a system call.
  private mutating func leaveProcessor(_ id: UInt64, at time: Int64) {
    guard let now = open[id], now.processor >= 0 else { return }
    begin(id, now.activity, at: time, reason: now.reason, stack: now.stack)
  }

  private mutating func takeProcessor(_ processor: Int32, _ id: UInt64, _ time: Int64) {
    guard let now = open[id], now.activity == .running || now.activity == .syscall else { return }
    begin(id, now.activity, at: time, processor: processor, reason: now.reason, stack: now.stack)
  }

  private mutating func endPhase(_ kind: Timeline.Phase.Kind, at time: Int64) {
    guard let start = openPhases.removeValue(forKey: kind) else { return }
    timeline.phases.append(Timeline.Phase(kind: kind, start: start, end: max(time, start)))
  }

  // MARK: numbers

  private mutating func place(of goroutine: UInt64) -> Int {
    if let place = places[goroutine] { return place }
    places[goroutine] = timeline.goroutines.count
    timeline.goroutines.append(Timeline.Goroutine(id: goroutine))
    return timeline.goroutines.count - 1
  }

  private mutating func place(ofProcessor id: UInt64) -> Int {
    if let place = processorPlaces[id] { return place }
    processorPlaces[id] = timeline.processors.count
    timeline.processors.append(Timeline.Processor(id: id))
    return timeline.processors.count - 1
  }

  private mutating func number(of text: String) -> Int32 {
    if let number = textNumbers[text] { return number }
    let number = Int32(timeline.texts.count)
    textNumbers[text] = number
    timeline.texts.append(text)
    return number
  }

  private mutating func number(ofStack number: UInt64, _ item: TraceReader.Item) -> Int32 {
    if number == 0 { return 0 }
    let key = StackKey(generation: item.generation, number: number)
    if let known = stackNumbers[key] { return known }
    let frames = item.frames(number)
    let new = knownStacks[frames] ?? Int32(timeline.stacks.count)
    if Int(new) == timeline.stacks.count {
      timeline.stacks.append(frames)
      knownStacks[frames] = new
    }
    stackNumbers[key] = new
    return new
  }
}
