import ApusRuntime

extension Trace {
  /// Calls `body`, and says when the goroutine began and ended it (Go's `WithRegion`). Regions nest.
  /// - Parameters:
  ///   - name: What kind of region it is.
  ///   - context: Carries the task that it is a part of, if any.
  ///   - body: Does the work.
  /// - Returns: What `body` returns.
  @inlinable
  public static func region<R: ~Copyable, E: Error>(
    _ name: String, in context: Context? = nil, _ body: () throws(E) -> R
  ) throws(E) -> R {
    if !isOn { return try body() }
    let number = openRegion(name, context)
    defer { endRegion(name, number) }
    return try body()
  }

  /// Begins a region where a closure does not fit (Go's `StartRegion`):
  ///
  ///     var region = Trace.beginRegion("parse")
  ///     defer { region.end() }
  ///
  /// It ends when `end` is called, at the latest when the value goes out of scope. Regions of a goroutine have to nest, so
  /// it has to end on the goroutine that began it, after all that began later: Go's tools refuse other traces. A
  /// trap that ends an isolated call ends the regions that began in it.
  /// - Parameters:
  ///   - name: What kind of region it is.
  ///   - context: Carries the task that it is a part of, if any.
  /// - Returns: The region: what is not kept ends at once.
  @inlinable
  public static func beginRegion(_ name: String, in context: Context? = nil) -> Region {
    if !isOn { return Region("", 0, isOpen: false) }
    return Region(name, openRegion(name, context), isOpen: true)
  }

  /// A part of a goroutine's work, from `beginRegion` to `end` (Go's `trace.Region`).
  public struct Region: ~Copyable {
    @usableFromInline let name: String
    @usableFromInline let task: UInt64
    @usableFromInline var isOpen: Bool

    @usableFromInline
    init(_ name: String, _ task: UInt64, isOpen: Bool) {
      self.name = name
      self.task = task
      self.isOpen = isOpen
    }

    /// Ends the region; the first time counts.
    @inlinable
    public mutating func end() {
      if isOpen { endRegion(name, task) }
      isOpen = false
    }

    deinit { if isOpen { endRegion(name, task) } }
  }

  /// Begins a region of the task of `context`; the task's number.
  @usableFromInline
  @inline(never)
  static func openRegion(_ name: String, _ context: Context?) -> UInt64 {
    let number = taskNumber(context)
    TraceAnnotations.beginRegion(name, of: number)
    return number
  }

  @usableFromInline
  @inline(never)
  static func endRegion(_ name: String, _ task: UInt64) {
    TraceAnnotations.endRegion(name, of: task)
  }
}
