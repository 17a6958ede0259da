public import Apus
public import ApusRuntime

/// The right to use the managed heap: what `withHeap` and `go` give to their body. References come from it and live no
/// longer than the body does.
public struct HeapToken: ~Escapable {
  @_lifetime(immortal)
  @inlinable
  init() {}
}

extension HeapToken {
  /// A new object with the value `value`, whose links are nil, as those of every value are that was not copied out of an
  /// object by a computed property of its own.
  ///
  /// Costs a few nanoseconds while the processor has a free slot for such objects. Otherwise the goroutine looks for more,
  /// and does its part of a collection that is on; it may have to wait for the others then, but never changes its thread.
  ///
  /// The first object of a type has its type's links looked for; one in an enumeration or an existential ends the process,
  /// and so does a lack of memory.
  @_lifetime(copy self)
  @inlinable
  @inline(__always)
  public func new<Object>(_ value: consuming Object) -> Ref<Object> {
    dependent(Ref(Allocation.make(value)), on: self)
  }
}

/// Runs `body` with a token of the managed heap, and returns or throws what it does.
///
/// Scopes can nest, and a goroutine may wait inside one. On a thread that is no goroutine's, `body` runs on a goroutine of
/// its own, and the thread waits.
@inlinable
public func withHeap<Result: ~Copyable, E: Error>(_ body: (HeapToken) throws(E) -> Result) throws(E) -> Result {
  if HeapScopes.isPossible {
    let scope = HeapScopes.enter()
    defer { HeapScopes.leave(scope) }
    return try body(HeapToken())
  }
  return try OtherThread.run { () throws(E) -> Result in
    let scope = HeapScopes.enter()
    defer { HeapScopes.leave(scope) }
    return try body(HeapToken())
  }
}

/// Starts a goroutine that runs `body` with a token of the managed heap; see `Apus.go`.
@inlinable
public func go(_ body: sending @escaping (HeapToken) -> Void) {
  Apus.go(Scoped(body)) { $0.run() }
}

/// Starts a goroutine that runs `body` with a token of the managed heap and `argument`, which moves to it.
@inlinable
public func go<Argument: ~Copyable>(
  _ argument: consuming sending Argument,
  _ body: sending @escaping (HeapToken, consuming sending Argument) -> Void
) {
  Apus.go(ScopedArgument(body, argument)) { $0.run() }
}

/// The body of a goroutine with a token.
@usableFromInline
struct Scoped: ~Copyable {
  @usableFromInline let body: (HeapToken) -> Void

  @inlinable
  init(_ body: @escaping (HeapToken) -> Void) {
    self.body = body
  }

  @inlinable
  consuming func run() {
    let scope = HeapScopes.enter()
    body(HeapToken())
    HeapScopes.leave(scope)
  }
}

/// The same with an argument.
@usableFromInline
struct ScopedArgument<Argument: ~Copyable>: ~Copyable {
  @usableFromInline let body: (HeapToken, consuming sending Argument) -> Void
  @usableFromInline let argument: Argument

  @inlinable
  init(_ body: @escaping (HeapToken, consuming sending Argument) -> Void, _ argument: consuming Argument) {
    self.body = body
    self.argument = argument
  }

  @inlinable
  consuming func run() {
    // It came as `sending` and nobody else has it.
    nonisolated(unsafe) let argument = argument
    let scope = HeapScopes.enter()
    body(HeapToken(), argument)
    HeapScopes.leave(scope)
  }
}
