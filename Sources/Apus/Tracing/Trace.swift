public import ApusRuntime
import struct Synchronization.Atomic

/// What a program says of itself in execution traces (Go's `runtime/trace`): *regions* of a goroutine's work, *tasks* to
/// which regions of many goroutines belong, and messages. A task is handed on in a `Context`.
///
///     Trace.task("request") { context in
///       let order = Trace.region("parse", in: context) { parse(bytes) }
///       Trace.log("order", "\(order.items.count) items", in: context)
///       Trace.region("answer", in: context) { answer(order) }
///     }
///
/// While no trace is on and no `FlightRecorder` runs, each of these is a load and a test, and no message is made. Otherwise
/// an event costs some 100 nanoseconds and ten bytes, and each text its bytes once in a generation. Of a name or message
/// more than 1024 bytes are left out. Names tell kinds of regions and tasks apart: there should be few.
///
/// On a thread that is no goroutine's nothing is said.
public enum Trace {
  /// Whether what the program says goes to a trace or a flight recorder; old by the time it is known.
  @inlinable
  @inline(__always)
  public static var isOn: Bool { TraceFlag.isOn }

  /// Says something, once, for whoever looks at the trace (Go's `Log` and `Logf`).
  /// - Parameters:
  ///   - category: What kind of message it is; may be empty.
  ///   - message: Evaluated only if a trace is on.
  ///   - context: Carries the task that it belongs to, if any.
  @inlinable
  public static func log(_ category: String, _ message: @autoclosure () -> String, in context: Context? = nil) {
    if isOn { write(category, message(), context) }
  }

  @usableFromInline
  @inline(never)
  static func write(_ category: String, _ message: String, _ context: Context?) {
    TraceAnnotations.log(category, message, of: taskNumber(context))
  }

  private static let taskKey = Context.Key<UInt64>("trace task")
  private static let taskCount = Atomic<UInt64>(0)

  static func taskNumber(_ context: Context?) -> UInt64 { context?[taskKey] ?? 0 }

  /// A new task, below that of `context`, and a context that carries it.
  @usableFromInline
  @inline(never)
  static func makeTask(_ name: String, _ context: Context?) -> (context: Context, task: Task) {
    let number = taskCount.wrappingAdd(1, ordering: .relaxed).newValue
    TraceAnnotations.beginTask(number, parent: taskNumber(context), name)
    return ((context ?? .background).with(taskKey, number), Task(number: number))
  }
}
