/// What a piece of work carries across calls and goroutines: whether it is still wanted, until when, and values that
/// belong to it (Go's `context.Context`).
///
/// Contexts form a tree that never changes: every derivation makes a new context below this one. A cancellation goes
/// downwards, at once and to all that lies below; what lies above goes on.
///
///     let (context, cancel) = request.context.timeout(.seconds(1))
///     defer { cancel(nil) }
///     guard context.failure == nil else { return }
///
/// Call `cancel` as soon as the work is over, also when it was successful: until then, or until the parent is
/// cancelled, the parent keeps the context and the runtime keeps its timer. Any number of goroutines and threads may use
/// a context and its `cancel` at once.
public final class Context: Sendable {
  /// What the context adds to its parent.
  enum Kind {
    case background
    /// `binding` and `bindingID`.
    case value
    case cancellable
    /// Its own deadline, which is earlier than the parent's.
    case deadline
    case detached
  }

  /// Written before the context is published, and by the `deinit` of the last that refers to this context.
  nonisolated(unsafe) private(set) var parent: Context?
  let kind: Kind
  /// The key's number and the value that the context adds; 0, which is no key's number, and nil where it adds none.
  let bindingID: Int
  let binding: Binding?
  /// The nearest context that adds a value, above this one. The chain of parents keeps it alive.
  private let valueAbove: Unmanaged<Context>?
  /// The cancellation of the nearest cancellable context from here upwards; nil where there is none, and nothing can
  /// cancel this context.
  let cancellation: Cancellation?
  let limit: TimeLimit?

  /// When the context is cancelled at the latest: the earliest deadline from here upwards. nil: there is none.
  public var deadline: ContinuousClock.Instant? { limit?.instant }

  init(
    _ kind: Kind, below parent: Context?, _ cancellation: Cancellation?, _ limit: TimeLimit?, _ binding: Binding? = nil
  ) {
    self.parent = parent
    self.kind = kind
    self.binding = binding
    bindingID = binding?.id ?? 0
    valueAbove = parent.flatMap { $0.bindingID == 0 ? $0.valueAbove : .passUnretained($0) }
    self.cancellation = cancellation
    self.limit = limit
  }

  /// Releases the chain of parents one by one: a recursion would need a stack as deep as the tree.
  deinit {
    var ancestor = parent
    parent = nil
    while isKnownUniquelyReferenced(&ancestor), let last = ancestor {
      // Nobody else can reach it any more, so its fields are this thread's.
      ancestor = nil
      let above = last.parent
      last.parent = nil
      ancestor = above
    }
  }

  /// The root of every tree: never cancelled, without a deadline and values (Go's `Background`).
  public static let background = Context(.background, below: nil, nil, nil)

  /// Why the context was cancelled; nil while it is not. Not nil means that `done` is closed, and the other way round.
  /// A load and a test: it may stand in a tight loop.
  public var failure: Failure? { cancellation?.failure }

  /// What the first cancellation gave as its reason, here or above; the failure itself where none was given. nil while
  /// the context is not cancelled.
  public var cause: (any Error)? { cancellation?.cause }

  /// A channel that is closed when the context is cancelled, always the same one; on which nothing is ever sent. Only the
  /// context may close it. Where nothing can cancel the context it is never closed: who receives from it alone waits for
  /// ever.
  public var done: Channel<Never> { cancellation?.done ?? DoneChannels.never }

  /// The binding of the key with the number `id` that is nearest from here upwards.
  @usableFromInline
  func binding(_ id: Int) -> Binding? {
    // Unretained: the chain of parents keeps every context alive that is passed here.
    var place = Unmanaged.passUnretained(self)
    while true {
      let (found, above) = place._withUnsafeGuaranteedRef { ($0.bindingID == id ? $0.binding : nil, $0.valueAbove) }
      if let found { return found }
      guard let above else { return nil }
      place = above
    }
  }

  /// Why a context was cancelled.
  public enum Failure: Error, CustomStringConvertible {
    /// `cancel` was called, here or above.
    case cancelled
    /// The deadline passed.
    case deadlineExceeded

    /// As Go says it.
    public var description: String {
      switch self {
      case .cancelled: "context canceled"
      case .deadlineExceeded: "context deadline exceeded"
      }
    }
  }
}

/// A deadline in an object of its own: the type of an instant is of a size that only the running program knows, and each
/// access to a class with one in it would have to ask.
final class TimeLimit: Sendable {
  let instant: ContinuousClock.Instant
  init(_ instant: ContinuousClock.Instant) { self.instant = instant }
}
