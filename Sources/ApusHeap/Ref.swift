public import ApusRuntime
public import CApus

/// A reference to a managed object.
///
/// It lives on the stack of the goroutine that got it from its `HeapToken`: in variables, parameters, tuples and
/// optionals. The compiler refuses to store it anywhere else, in an object of a class, an array, a global variable, an
/// escaping closure or a task. So the collector finds all of them by looking at the stacks, and copying one costs nothing:
/// no count, no atomic instruction.
///
/// An object's properties are the reference's: `node.value += 1`. Links read as optional references and are written through
/// the collector's barrier, one test: `node.next = other`. Two goroutines that use one object at once need a lock, as for
/// any shared variable; links alone may be read and written at once.
///
/// A function takes references as parameters as it takes anything. One that *returns* a reference has to say whose lifetime
/// it has, `@_lifetime(copy node)`, for which the program's own target needs the compiler's feature `Lifetimes`; the
/// package of the heap needs it of nobody.
@dynamicMemberLookup
public struct Ref<Object>: ~Escapable {
  /// The object's address.
  @usableFromInline let address: UnsafeMutableRawPointer

  @_lifetime(immortal)
  @inlinable
  @inline(__always)
  init(_ address: UnsafeMutableRawPointer) {
    self.address = address
  }
}

extension Ref {
  /// The token of the heap that the object is in.
  @inlinable
  public var heap: HeapToken {
    @_lifetime(copy self)
    get { dependent(HeapToken(), on: self) }
  }

  /// Whether both refer to the same object.
  @inlinable
  public static func === (first: Ref, second: Ref) -> Bool { first.address == second.address }

  /// Whether they refer to different objects.
  @inlinable
  public static func !== (first: Ref, second: Ref) -> Bool { !(first === second) }

  /// A property that is not a link.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(dynamicMember path: KeyPath<Object, Value>) -> Value {
    @inline(__always)
    get {
      LinkFree.check(Value.self)
      return address.assumingMemoryBound(to: Object.self).pointee[keyPath: path]
    }
  }

  /// A property that is not a link.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(dynamicMember path: WritableKeyPath<Object, Value>) -> Value {
    @inline(__always)
    get {
      LinkFree.check(Value.self)
      return address.assumingMemoryBound(to: Object.self).pointee[keyPath: path]
    }
    @inline(__always)
    nonmutating _modify {
      LinkFree.check(Value.self)
      yield &address.assumingMemoryBound(to: Object.self).pointee[keyPath: path]
    }
  }

  /// A property by its key path: `node[\.pair.count]` for one that lies in a property with links.
  @_disfavoredOverload
  @inlinable
  public subscript<Value>(_ path: WritableKeyPath<Object, Value>) -> Value {
    @inline(__always)
    get { self[dynamicMember: path] }
    @inline(__always)
    nonmutating _modify { yield &self[dynamicMember: path] }
  }

  /// A link: the object that it refers to. Setting it costs a test, and marks the object while the collector is marking.
  @inlinable
  public subscript<Target>(dynamicMember path: WritableKeyPath<Object, Link<Target>>) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    _read { yield self[path] }
    @inline(__always)
    nonmutating set { self[path] = newValue }
  }

  /// A link by its key path: `node[\.pair.left]` for one that lies in a property of the object.
  ///
  /// The path must lead to a stored property; others end the process.
  @inlinable
  public subscript<Target>(_ path: WritableKeyPath<Object, Link<Target>>) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    // Not `get`: the compiler cannot follow the lifetime of what that returns through `node.next?.value`.
    _read {
      // What a live object refers to lives: the reference is as good as the one it was read through.
      yield dependent(LinkPlace.load(address + LinkPlace.offset(of: path)), on: self)
    }
    @inline(__always)
    nonmutating set { LinkPlace.store(newValue, at: address + LinkPlace.offset(of: path)) }
  }

  /// Several links, as a collection to be read and written by index.
  @inlinable
  public subscript<let count: Int, Target>(
    dynamicMember path: WritableKeyPath<Object, Links<count, Target>>
  ) -> LinkList<Target> {
    @_lifetime(copy self)
    @inline(__always)
    get { self[path] }
  }

  /// Several links, by their key path.
  @inlinable
  public subscript<let count: Int, Target>(
    _ path: WritableKeyPath<Object, Links<count, Target>>
  ) -> LinkList<Target> {
    @_lifetime(copy self)
    @inline(__always)
    get { dependent(LinkList(first: address + LinkPlace.offset(of: path), count: count), on: self) }
  }
}

/// Whether both refer to the same object, or both to none.
@inlinable
public func === <Object>(first: Ref<Object>?, second: Ref<Object>?) -> Bool {
  guard let first else { return second == nil }
  guard let second else { return false }
  return first === second
}

/// Whether they refer to different objects, or one of them to none.
@inlinable
public func !== <Object>(first: Ref<Object>?, second: Ref<Object>?) -> Bool { !(first === second) }

/// The links of a `Links` property.
public struct LinkList<Target>: ~Escapable {
  @usableFromInline let first: UnsafeMutableRawPointer
  /// How many there are.
  public let count: Int

  @_lifetime(immortal)
  @inlinable
  init(first: UnsafeMutableRawPointer, count: Int) {
    self.first = first
    self.count = count
  }

  /// The indices.
  @inlinable
  public var indices: Range<Int> { 0..<count }

  /// The link at `index`. An index that there is not ends the process.
  @inlinable
  public subscript(index: Int) -> Ref<Target>? {
    @_lifetime(copy self)
    @inline(__always)
    _read {
      precondition(index >= 0 && index < count, "Index out of range")
      yield dependent(LinkPlace.load(first + LinkPlace.size * index), on: self)
    }
    @inline(__always)
    nonmutating set {
      precondition(index >= 0 && index < count, "Index out of range")
      LinkPlace.store(newValue, at: first + LinkPlace.size * index)
    }
  }
}

/// Where a link lies.
@usableFromInline
enum LinkPlace {
  /// Bytes of a link, and of each of several.
  @inlinable @inline(__always) static var size: Int { MemoryLayout<UInt32>.size }

  /// The offset of what `path` leads to. A constant where the path is a literal.
  @inlinable
  @inline(__always)
  static func offset<Object, Value>(of path: WritableKeyPath<Object, Value>) -> Int {
    guard let offset = MemoryLayout<Object>.offset(of: path) else { refuse(path) }
    return offset
  }

  @usableFromInline
  @inline(never)
  static func refuse(_ path: AnyKeyPath) -> Never {
    FatalReport.panic(
      "managed heap: \(path) is no stored property: a link that does not lie in the object cannot be used")
  }

  /// The object that the link at `place` refers to.
  @_lifetime(immortal)
  @inlinable
  @inline(__always)
  static func load<Target>(_ place: UnsafeMutableRawPointer) -> Ref<Target>? {
    guard let target = UnsafeMutableRawPointer(bitPattern: apus_load_link(place)) else { return nil }
    return Ref(target)
  }

  /// Stores a link, with the barrier.
  @inlinable
  @inline(__always)
  static func store<Target>(_ target: Ref<Target>?, at place: UnsafeMutableRawPointer) {
    guard let target else {
      apus_clear_link(place)
      return
    }
    let address = UInt(bitPattern: target.address)
    if apus_is_marking() != 0 { Barrier.shade(address) }
    apus_store_link(place, address)
  }
}
