import ApusRuntime

extension Trace {
  /// A piece of work that several goroutines may have a part in, from `beginTask` to `end` (Go's `trace.Task`).
  public struct Task: Sendable {
    /// 0 for one that began while no trace was on.
    @usableFromInline let number: UInt64

    @usableFromInline
    init(number: UInt64) { self.number = number }

    /// The work is done. Any goroutine may say so, not only the one that began it; the first time counts.
    @inlinable
    public func end() {
      if number != 0 && isOn { finish() }
    }

    @usableFromInline
    @inline(never)
    func finish() { TraceAnnotations.endTask(number) }
  }

  /// Begins a task: its end is when `end` is called (Go's `NewTask`). A task that begins while no trace is on is in none:
  /// regions of its belong to no task.
  /// - Parameters:
  ///   - name: What kind of task it is.
  ///   - context: Carries the task of which this is a part, if any.
  /// - Returns: The task, and a context that carries it: hand it on to whoever works on the task. While no trace is on it is
  ///   `context`, or the background.
  @inlinable
  public static func beginTask(_ name: String, in context: Context? = nil) -> (context: Context, task: Task) {
    if !isOn { return (context ?? .background, Task(number: 0)) }
    return makeTask(name, context)
  }

  /// Begins a task, calls `body` with a context that carries it, and ends it when `body` returns or throws.
  /// - Parameters:
  ///   - name: What kind of task it is.
  ///   - context: Carries the task of which this is a part, if any.
  ///   - body: Does the work.
  /// - Returns: What `body` returns.
  @inlinable
  public static func task<R: ~Copyable, E: Error>(
    _ name: String, in context: Context? = nil, _ body: (Context) throws(E) -> R
  ) throws(E) -> R {
    let (context, task) = beginTask(name, in: context)
    defer { task.end() }
    return try body(context)
  }
}
