import CApus

/// Writes a trace in Go's format of version 1.25: a header, and generations of batches. Of a generation first comes how its
/// times relate to the clocks, then events as threads fill their buffers, and at its end the strings and stacks to which
/// they refer. Only the thread of the session uses it.
struct TraceFormat: ~Copyable {
  /// What comes before the first generation.
  static var header: [UInt8] { Array("go 1.25 trace\0\0\0".utf8) }

  private enum Kind {
    static var batch: UInt8 { 1 }
    static var stacks: UInt8 { 2 }
    static var stack: UInt8 { 3 }
    static var strings: UInt8 { 4 }
    static var string: UInt8 { 5 }
    static var frequency: UInt8 { 8 }
    static var sync: UInt8 { 50 }
    static var clockSnapshot: UInt8 { 51 }
  }

  /// The most that a batch may hold.
  private static var batchLimit: Int { Int(APUS_TRACE_BUFFER) }
  /// The longest string.
  private static var stringLimit: Int { Int(APUS_TRACE_TEXT) }

  /// Where the bytes go: changed between two generations.
  var outputs: TraceOutputs
  private var frames = TraceFrames()
  /// The generation's number; 0 before the first.
  private var generation: UInt64 = 0
  /// How many bytes of events the generation has.
  private(set) var size = 0
  /// When the generation began.
  private(set) var start = Clock.nanotime()

  init(to outputs: consuming TraceOutputs) { self.outputs = outputs }

  /// Begins generation `number`.
  mutating func begin(_ number: UInt64) {
    generation = number
    size = 0
    start = Clock.nanotime()
    let (now, wall) = (UInt64(Clock.nanotime()), UInt64(apus_unix_time()))
    var batch = Batch(kind: Kind.sync)
    batch.add(kind: Kind.frequency)
    batch.add(1_000_000_000)
    batch.add(kind: Kind.clockSnapshot)
    batch.add(0)
    batch.add(now)
    batch.add(wall / 1_000_000_000)
    batch.add(wall % 1_000_000_000)
    write(batch, at: now)
  }

  /// Writes `buffers`, in order, and gives them back; begins the first generation before.
  mutating func write(_ buffers: UnsafeMutablePointer<apus_trace_buffer>?) {
    if generation == 0, let buffers { begin(buffers.pointee.generation) }
    var next = buffers
    while let buffer = next {
      next = buffer.pointee.link
      let count = buffer.pointee.size
      if count > 0 {
        writeHead(buffer.pointee.stream, at: buffer.pointee.time, count: count)
        write(UnsafeRawBufferPointer(start: apus_trace_buffer_bytes(buffer), count: count))
        size += count
      }
      apus_trace_free(buffer)
    }
  }

  /// Ends the generation, and empties its tables.
  mutating func end() {
    writeStacks()
    writeStrings()
    writeTexts()
    apus_trace_drop_tables(generation)
    outputs.endGeneration()
  }

  /// The trace is over.
  mutating func close() {
    frames.close()
    outputs.closeFile()
  }

  private mutating func writeStacks() {
    var batch = Batch(kind: Kind.stacks)
    for bucket in 0..<Int(APUS_TRACE_BUCKETS) {
      var next = apus_trace_stacks(generation, bucket)
      while let stack = next {
        next = stack.pointee.link
        let frames = frames.frames(of: stack).prefix(Int(APUS_TRACE_DEPTH) * 2)
        batch.add(kind: Kind.stack)
        batch.add(UInt64(stack.pointee.id))
        batch.add(UInt64(frames.count))
        for frame in frames {
          self.frames.strings.use(frame.function)
          self.frames.strings.use(frame.file)
          batch.add(frame.key)
          batch.add(frame.function)
          batch.add(frame.file)
          batch.add(frame.line)
        }
        // The longest entry has less than six thousand bytes.
        if batch.bytes.count > Self.batchLimit - 8192 { flush(&batch) }
      }
    }
    flush(&batch)
  }

  private mutating func writeStrings() {
    var batch = Batch(kind: Kind.strings)
    for (number, text) in frames.strings.takeUsed() {
      let bytes = text.utf8.prefix(Self.stringLimit)
      add(number, bytes, count: bytes.count, to: &batch)
    }
    flush(&batch)
  }

  /// Those that the program has given.
  private mutating func writeTexts() {
    var batch = Batch(kind: Kind.strings)
    for bucket in 0..<Int(APUS_TRACE_BUCKETS) {
      var next = apus_trace_texts(generation, bucket)
      while let text = next {
        next = text.pointee.link
        let count = Int(text.pointee.count)
        let bytes = UnsafeRawBufferPointer(start: apus_trace_text_bytes(text), count: count)
        add(text.pointee.id, bytes, count: count, to: &batch)
      }
    }
    flush(&batch)
  }

  private mutating func add(_ number: UInt64, _ text: some Sequence<UInt8>, count: Int, to batch: inout Batch) {
    batch.add(kind: Kind.string)
    batch.add(number)
    batch.add(UInt64(count))
    batch.bytes.append(contentsOf: text)
    if batch.bytes.count > Self.batchLimit - 8192 { flush(&batch) }
  }

  private mutating func flush(_ batch: inout Batch) {
    write(batch, at: UInt64(Clock.nanotime()))
    batch.bytes.removeLast(batch.bytes.count - 1)
  }

  /// The contents of a batch that is no thread's.
  private struct Batch {
    var bytes: [UInt8]

    init(kind: UInt8) { bytes = [kind] }

    mutating func add(kind: UInt8) { bytes.append(kind) }

    mutating func add(_ number: UInt64) {
      var rest = number
      while rest >= 0x80 {
        bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
      }
      bytes.append(UInt8(rest))
    }
  }

  private mutating func write(_ batch: Batch, at time: UInt64) {
    writeHead(UInt64.max, at: time, count: batch.bytes.count)
    write(batch.bytes)
  }

  private mutating func writeHead(_ stream: UInt64, at time: UInt64, count: Int) {
    var head = Batch(kind: Kind.batch)
    head.add(generation)
    head.add(stream)
    head.add(time)
    head.add(UInt64(count))
    write(head.bytes)
  }

  private mutating func write(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { write($0) }
  }

  private mutating func write(_ bytes: UnsafeRawBufferPointer) { outputs.write(bytes) }
}
