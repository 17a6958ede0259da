import struct Synchronization.Atomic

extension Context {
  /// A name for values of one type. Every `init` makes another key, equal to no other, so a key belongs in a constant:
  ///
  ///     static let requestID = Context.Key<Int>("request")
  public struct Key<Value: Sendable>: Hashable, Sendable {
    @usableFromInline let id: Int
    @usableFromInline let name: StaticString

    /// Makes a key. `name` only appears where a context is printed.
    public init(_ name: StaticString = "") {
      id = keyCount.wrappingAdd(1, ordering: .relaxed).newValue
      self.name = name
    }

    public static func == (left: Self, right: Self) -> Bool { left.id == right.id }
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
  }

  /// The value that the nearest context from here upwards has for `key`; nil where none has one. Takes a step for each
  /// value above, none for contexts that only add a cancellation.
  @inlinable
  public subscript<Value>(key: Key<Value>) -> Value? {
    // No other key has this number, and this one was made for values of this type.
    binding(key.id).map { unsafeDowncast($0, to: BoundValue<Value>.self).value }
  }

  /// A context that has `value` for `key`, and is otherwise as this one (Go's `WithValue`). It hides a value that a
  /// context above has for the key.
  @inlinable
  public func with<Value>(_ key: Key<Value>, _ value: Value) -> Context {
    with(BoundValue(key, value))
  }

  @usableFromInline
  func with(_ binding: Binding) -> Context {
    Context(.value, below: self, cancellation, limit, binding)
  }

  /// A context with the values of this one and neither its cancellation nor its deadline (Go's `WithoutCancel`): for
  /// work that has to be finished though what asked for it is gone.
  public func detached() -> Context {
    Context(.detached, below: self, nil, nil)
  }
}

private let keyCount = Atomic<Int>(0)

/// A value and its key, of a type that the context need not know.
@usableFromInline
class Binding: @unchecked Sendable {
  // Unchecked because a class that others inherit from must say so: nothing in it or in `BoundValue` changes.
  @usableFromInline let id: Int
  @usableFromInline let name: StaticString

  @usableFromInline
  init(id: Int, name: StaticString) {
    self.id = id
    self.name = name
  }

  /// Key and value, for reading.
  @usableFromInline
  var text: String { "" }
}

@usableFromInline
final class BoundValue<Value: Sendable>: Binding, @unchecked Sendable {
  @usableFromInline let value: Value

  @inlinable
  init(_ key: Context.Key<Value>, _ value: Value) {
    self.value = value
    super.init(id: key.id, name: key.name)
  }

  /// As Go, what has no description of its own is named by its type.
  @usableFromInline
  override var text: String {
    let name = name.utf8CodeUnitCount == 0 ? "\(Value.self)" : "\(name)"
    return (value as? any CustomStringConvertible).map { "\(name), \($0.description)" } ?? "\(name), \(Value.self)"
  }
}
