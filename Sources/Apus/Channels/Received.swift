/// What a receive that does not wait finds.
public enum Received<Element: ~Copyable>: ~Copyable {
  /// An element.
  case element(Element)
  /// Nothing now.
  case empty
  /// The channel is closed and drained.
  case closed
}

extension Received: Copyable where Element: Copyable {}
extension Received: Sendable where Element: Sendable & ~Copyable {}
extension Received: Equatable where Element: Equatable {}
