import Apus
import Testing

/// Which failure and which cause a context has, after what happened in which order.
@Suite struct ContextCauseTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let failure: Context.Failure?
    /// nil: the failure itself, or none.
    let reason: Reason?
    let make: @Sendable () -> Context

    init(
      _ name: String, _ failure: Context.Failure?, _ reason: Reason? = nil, _ make: @escaping @Sendable () -> Context
    ) {
      testDescription = name
      self.failure = failure
      self.reason = reason
      self.make = make
    }
  }

  static let parent = Reason("parent")
  static let child = Reason("child")
  static let tooSlow = Reason("too slow")
  static let forever = Duration.seconds(1_000_000)

  /// Cancels a parent and its child with the causes given, in the order given.
  private static func both(
    _ parentCause: Reason?, _ childCause: Reason?, parentFirst: Bool
  ) -> @Sendable () -> Context {
    {
      let (parent, cancelParent) = Context.background.cancellable()
      let (child, cancelChild) = parent.cancellable()
      if parentFirst { cancelParent(parentCause) }
      cancelChild(childCause)
      if !parentFirst { cancelParent(parentCause) }
      return child
    }
  }

  @Test(arguments: [
    Case("background", nil) { .background },
    Case("cancelled", .cancelled) {
      let (context, cancel) = Context.background.cancellable()
      cancel(nil)
      return context
    },
    Case("cancelled with a cause", .cancelled, parent) {
      let (context, cancel) = Context.background.cancellable()
      cancel(parent)
      return context
    },
    Case("the parent's before the child's", .cancelled, parent, both(parent, child, parentFirst: true)),
    Case("the parent's after the child's", .cancelled, child, both(parent, child, parentFirst: false)),
    Case("the parent's before none", .cancelled, parent, both(parent, nil, parentFirst: true)),
    Case("the parent's after none", .cancelled, nil, both(parent, nil, parentFirst: false)),
    Case("the child's after none", .cancelled, nil, both(nil, child, parentFirst: true)),
    Case("the child's before none", .cancelled, child, both(nil, child, parentFirst: false)),
    Case("a timeout", .deadlineExceeded) {
      let (context, cancel) = Context.background.timeout(.zero)
      cancel(nil)
      return context
    },
    Case("a timeout that was cancelled", .cancelled) {
      let (context, cancel) = Context.background.timeout(forever)
      cancel(nil)
      return context
    },
    Case("a timeout with a cause", .deadlineExceeded, tooSlow) {
      let (context, cancel) = Context.background.timeout(.zero, cause: tooSlow)
      cancel(nil)
      return context
    },
    Case("a timeout with a cause that was cancelled", .cancelled) {
      let (context, cancel) = Context.background.timeout(forever, cause: tooSlow)
      cancel(nil)
      return context
    },
    Case("a timeout below one that is cancelled later", .deadlineExceeded, tooSlow) {
      let (parent, cancel) = Context.background.cancellable()
      let context = parent.timeout(.zero, cause: tooSlow).context
      cancel(Self.parent)
      return context
    },
    Case("a timeout below one that is cancelled before", .cancelled, parent) {
      let (parent, cancel) = Context.background.cancellable()
      let context = parent.timeout(forever, cause: tooSlow).context
      cancel(Self.parent)
      return context
    },
    Case("detached", nil) { Context.background.detached() },
    Case("detached from one that is cancelled", nil) {
      let (parent, cancel) = Context.background.cancellable()
      let context = parent.detached()
      cancel(Self.parent)
      return context
    },
    Case("detached from one that was cancelled", nil) {
      let (parent, cancel) = Context.background.cancellable()
      cancel(Self.parent)
      return parent.detached()
    },
    Case("detached from a timeout", nil) { Context.background.timeout(.zero, cause: tooSlow).context.detached() },
    Case("below one that is detached", .cancelled, child) {
      let (parent, cancelParent) = Context.background.cancellable()
      cancelParent(Self.parent)
      let (context, cancel) = parent.detached().cancellable()
      cancel(child)
      return context
    },
  ])
  func cause(_ test: Case) throws {
    try checking { found in
      let context = test.make()
      found.check(context.shows(test.failure), "\(String(describing: context.failure))")
      if let reason = test.reason {
        found.check(context.reason == reason, "\(String(describing: context.cause))")
      } else {
        found.check(context.cause as? Context.Failure == test.failure, "\(String(describing: context.cause))")
      }
    }
  }
}
