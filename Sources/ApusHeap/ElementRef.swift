/// A reference to an element of a managed array, for elements that are structures with links: `array.element(3).next`.
/// It keeps the array alive, reads and writes like a `Ref`, and cannot be stored in a link: only whole objects can.
@dynamicMemberLookup
public struct ElementRef<Element>: ~Escapable {
  @usableFromInline let address: UnsafeMutableRawPointer

  @_lifetime(immortal)
  @inlinable
  @inline(__always)
  init(_ address: UnsafeMutableRawPointer) {
    self.address = address
  }
}

extension ElementRef {
  /// The element as if it were an object: `Ref` says how its properties are read and written. Never for others, who could
  /// store it in a link.
  @usableFromInline
  var object: Ref<Element> {
    @_lifetime(copy self)
    @inlinable
    @inline(__always)
    get { dependent(Ref(address), on: self) }
  }

  /// A property that is not a link.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(dynamicMember path: KeyPath<Element, Value>) -> Value {
    @inline(__always)
    get { object[dynamicMember: path] }
  }

  /// A property that is not a link.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(dynamicMember path: WritableKeyPath<Element, Value>) -> Value {
    @inline(__always)
    get { object[dynamicMember: path] }
    @inline(__always)
    nonmutating _modify { yield &object[dynamicMember: path] }
  }

  /// A property by its key path: `element[\.pair.count]` for one that lies in a property with links.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(_ path: WritableKeyPath<Element, Value>) -> Value {
    @inline(__always)
    get { object[path] }
    @inline(__always)
    nonmutating _modify { yield &object[path] }
  }

  /// A link.
  @inlinable
  public subscript<Target>(dynamicMember path: WritableKeyPath<Element, Link<Target>>) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    _read { yield object[path] }
    @inline(__always)
    nonmutating set { object[path] = newValue }
  }

  /// A link by its key path: `element[\.pair.left]` for one that lies in a property of the element.
  ///
  /// The path must lead to a stored property; others end the process.
  @inlinable
  public subscript<Target>(_ path: WritableKeyPath<Element, Link<Target>>) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    _read { yield object[path] }
    @inline(__always)
    nonmutating set { object[path] = newValue }
  }

  /// Several links.
  @inlinable
  public subscript<let count: Int, Target>(
    dynamicMember path: WritableKeyPath<Element, Links<count, Target>>
  ) -> LinkList<Target> {
    @_lifetime(copy self)
    @inline(__always)
    get { object[path] }
  }

  /// Several links, by their key path.
  @inlinable
  public subscript<let count: Int, Target>(
    _ path: WritableKeyPath<Element, Links<count, Target>>
  ) -> LinkList<Target> {
    @_lifetime(copy self)
    @inline(__always)
    get { object[path] }
  }
}
