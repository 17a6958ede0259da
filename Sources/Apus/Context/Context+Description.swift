extension Context: CustomStringConvertible {
  /// How the context was derived, from the root on: `Context.background.cancellable.with(user, Ada)`.
  public var description: String {
    var steps: [String] = []
    var place: Context? = self
    while let context = place {
      steps.append(context.step)
      place = context.parent
    }
    return steps.reversed().joined(separator: ".")
  }

  /// The last step.
  private var step: String {
    switch kind {
    case .background: "Context.background"
    case .value: "with(\(binding?.text ?? ""))"
    case .cancellable: "cancellable"
    case .deadline: "deadline(in \(deadline.map(ContinuousClock.now.duration(to:)) ?? .zero))"
    case .detached: "detached"
    }
  }
}
