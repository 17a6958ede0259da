/// What a trace says, by goroutines and processors.
package struct Timeline: Sendable {
  /// What a goroutine does for a while.
  package enum Activity: UInt8, Sendable {
    case runnable, running, syscall, blocked
  }

  /// A while.
  package struct Span: Sendable {
    /// Nanoseconds since the trace began.
    package var start: Int64
    package var end: Int64
    package var activity: Activity
    /// The processor, while it runs; -1 for none.
    package var processor: Int32
    /// Why it is blocked or had to stop, as an index of `texts`; 0, which is "", while it runs.
    package var reason: Int32
    /// Where it was, as an index of `stacks`; 0, which is empty, where that is not known.
    package var stack: Int32

    package var length: Int64 { end - start }
  }

  /// A goroutine.
  package struct Goroutine: Sendable {
    package var id: UInt64
    /// The function that it was started with, as an index of `texts`.
    package var function: Int32 = 0
    /// Where it was started, as an index of `stacks`.
    package var createdAt: Int32 = 0
    /// Who started it; nil where that was before the trace.
    package var creator: UInt64?
    package var spans: [Span] = []
    /// It had ended before the trace did.
    package var hasEnded = false
  }

  /// A processor: what it ran, and when it belonged to nobody.
  package struct Processor: Sendable {
    /// A while for which it ran a goroutine, an index of `goroutines`.
    package struct Run: Sendable {
      package var start: Int64
      package var end: Int64
      package var goroutine: Int32
    }

    package var id: UInt64
    package var runs: [Run] = []
  }

  /// A part of a goroutine's work that the program has named.
  package struct Region: Sendable {
    /// An index of `goroutines`.
    package var goroutine: Int32
    /// An index of `texts`.
    package var name: Int32
    /// The number of the task that it belongs to; 0 for none.
    package var task: UInt64
    package var start: Int64
    package var end: Int64
  }

  /// A piece of work that the program has named, of any number of goroutines.
  package struct Task: Sendable {
    package var id: UInt64
    /// The number of the task that it is a part of; 0 for none.
    package var parent: UInt64
    /// An index of `texts`.
    package var name: Int32
    package var start: Int64
    package var end: Int64
    /// It had ended before the trace did.
    package var hasEnded = false
  }

  /// Something that the program has said.
  package struct Log: Sendable {
    /// An index of `goroutines`.
    package var goroutine: Int32
    package var time: Int64
    /// Indices of `texts`.
    package var category: Int32
    package var message: Int32
  }

  /// A while in which something happens to the whole program.
  package struct Phase: Sendable {
    package enum Kind: String, Sendable {
      case stopTheWorld = "stop the world"
      case collection = "garbage collection"
    }
    package var kind: Kind
    package var start: Int64
    package var end: Int64
  }

  /// Nanoseconds from the first event to the last.
  package internal(set) var duration: Int64 = 0
  package internal(set) var eventCount = 0
  package internal(set) var texts: [String] = [""]
  package internal(set) var stacks: [[TraceFrame]] = [[]]
  /// By their numbers.
  package internal(set) var goroutines: [Goroutine] = []
  /// By their numbers.
  package internal(set) var processors: [Processor] = []
  package internal(set) var phases: [Phase] = []
  /// By when they began, the outer ones first.
  package internal(set) var regions: [Region] = []
  /// By when they began.
  package internal(set) var tasks: [Task] = []
  package internal(set) var logs: [Log] = []
  /// When goroutines were stopped that ran for too long: the processor, and the time.
  package internal(set) var preemptions: [(processor: UInt64, time: Int64)] = []

  /// Reads a trace.
  /// - Throws: `TraceFault`.
  package init(_ bytes: [UInt8]) throws {
    var reader = try TraceReader(bytes)
    var builder = TimelineBuilder()
    try reader.forEach { builder.add($0) }
    self = builder.finish()
  }

  init() {}
}
