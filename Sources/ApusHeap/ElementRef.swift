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
  /// A property that is not a link.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(dynamicMember path: KeyPath<Element, Value>) -> Value {
    @inline(__always)
    get {
      LinkFree.check(Value.self)
      return address.assumingMemoryBound(to: Element.self).pointee[keyPath: path]
    }
  }

  /// A property that is not a link.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(dynamicMember path: WritableKeyPath<Element, Value>) -> Value {
    @inline(__always)
    get {
      LinkFree.check(Value.self)
      return address.assumingMemoryBound(to: Element.self).pointee[keyPath: path]
    }
    @inline(__always)
    nonmutating _modify {
      LinkFree.check(Value.self)
      yield &address.assumingMemoryBound(to: Element.self).pointee[keyPath: path]
    }
  }

  /// A property by its key path: `element[\.pair.count]` for one that lies in a property with links.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(_ path: WritableKeyPath<Element, Value>) -> Value {
    @inline(__always)
    get { self[dynamicMember: path] }
    @inline(__always)
    nonmutating _modify { yield &self[dynamicMember: path] }
  }

  /// A link.
  @inlinable
  public subscript<Target>(dynamicMember path: WritableKeyPath<Element, Link<Target>>) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    _read { yield self[path] }
    @inline(__always)
    nonmutating set { self[path] = newValue }
  }

  /// A link by its key path: `element[\.pair.left]` for one that lies in a property of the element.
  ///
  /// The path must lead to a stored property; others end the process.
  @inlinable
  public subscript<Target>(_ path: WritableKeyPath<Element, Link<Target>>) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    _read { yield dependent(LinkPlace.load(address + LinkPlace.offset(of: path)), on: self) }
    @inline(__always)
    nonmutating set { LinkPlace.store(newValue, at: address + LinkPlace.offset(of: path)) }
  }

  /// Several links.
  @inlinable
  public subscript<let count: Int, Target>(
    dynamicMember path: WritableKeyPath<Element, Links<count, Target>>
  ) -> LinkList<Target> {
    @_lifetime(copy self)
    @inline(__always)
    get { self[path] }
  }

  /// Several links, by their key path.
  @inlinable
  public subscript<let count: Int, Target>(
    _ path: WritableKeyPath<Element, Links<count, Target>>
  ) -> LinkList<Target> {
    @_lifetime(copy self)
    @inline(__always)
    get { dependent(LinkList(first: address + LinkPlace.offset(of: path), count: count), on: self) }
  }
}
