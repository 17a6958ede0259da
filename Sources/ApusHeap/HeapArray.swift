import ApusRuntime
public import CApus

/// An array in the managed heap, of a length that does not change: `Ref<HeapArray<Element>>`, made by
/// `HeapToken.newArray`. Elements are plain values, links (`HeapArray<Link<Node>>`), or structures with links.
///
///     let squares = heap.newArray((0..<100).map { $0 * $0 })
///     squares[7] += 1
///     let nodes = heap.newArray(repeating: Link<Node>(), count: 16)
///     nodes[3] = node
public struct HeapArray<Element> {
  /// There are no values of the type: arrays live in the heap only.
  private init() {}
}

/// What tells an array's type from others.
public protocol HeapArrayProtocol {
  /// What the array's elements are.
  associatedtype Element
}

extension HeapArray: HeapArrayProtocol {}

extension HeapToken {
  /// A new array with `count` elements that are `value`. Links in it are nil. `count` below zero ends the process.
  ///
  /// Costs as much as writing the elements; an array of more than 10 KB gets memory of its own.
  @_lifetime(copy self)
  @inlinable
  public func newArray<Element>(repeating value: Element, count: Int) -> Ref<HeapArray<Element>> {
    if count < 0 { ArrayStorage.refuse(count) }
    let array = ArrayStorage.make(Element.self, count)
    ArrayStorage.elements(of: array, Element.self).initialize(repeating: value, count: count)
    ArrayStorage.publish(array, count)
    return dependent(Ref(array), on: self)
  }

  /// A new array with the elements of `values`.
  @_lifetime(copy self)
  @inlinable
  public func newArray<Values: Collection>(_ values: Values) -> Ref<HeapArray<Values.Element>> {
    let count = values.count
    let array = ArrayStorage.make(Values.Element.self, count)
    let place = ArrayStorage.elements(of: array, Values.Element.self)
    let (_, initialized) = UnsafeMutableBufferPointer(start: place, count: count).initialize(from: values)
    precondition(initialized == count, "a collection with another count than it has elements")
    ArrayStorage.publish(array, count)
    return dependent(Ref(array), on: self)
  }
}

extension Ref where Object: HeapArrayProtocol {
  /// The number of elements.
  @inlinable
  public var count: Int {
    @inline(__always)
    get { address.load(as: Int.self) }
  }

  /// The indices of the elements.
  @inlinable
  public var indices: Range<Int> { 0..<count }

  /// The element at `index`, which has no links. An index that there is not ends the process.
  @_disfavoredOverload
  @inlinable
  public subscript(index: Int) -> Object.Element {
    @inline(__always)
    get {
      LinkFree.check(Object.Element.self)
      return ArrayStorage.element(index, of: address, Object.Element.self).pointee
    }
    @inline(__always)
    nonmutating _modify {
      LinkFree.check(Object.Element.self)
      yield &ArrayStorage.element(index, of: address, Object.Element.self).pointee
    }
  }

  /// The link at `index`.
  @inlinable
  public subscript<Target>(index: Int) -> Ref<Target>? where Object == HeapArray<Link<Target>> {
    @_lifetime(copy self)
    @inline(__always)
    _read {
      let place = UnsafeMutableRawPointer(ArrayStorage.element(index, of: address, Link<Target>.self))
      yield dependent(LinkPlace.load(place), on: self)
    }
    @inline(__always)
    nonmutating set {
      let place = UnsafeMutableRawPointer(ArrayStorage.element(index, of: address, Link<Target>.self))
      LinkPlace.store(newValue, at: place)
    }
  }

  /// A reference to the element at `index`, to get at its properties one by one.
  @_lifetime(copy self)
  @inlinable
  public func element(_ index: Int) -> ElementRef<Object.Element> {
    let place = UnsafeMutableRawPointer(ArrayStorage.element(index, of: address, Object.Element.self))
    return dependent(ElementRef(place), on: self)
  }

  /// Calls `body` with the elements as one piece of memory. It must not be used afterwards, and links in it must not be
  /// touched.
  @inlinable
  public func withUnsafeMutableElements<Result: ~Copyable, E: Error>(
    _ body: (UnsafeMutableBufferPointer<Object.Element>) throws(E) -> Result
  ) throws(E) -> Result {
    let start = ArrayStorage.elements(of: address, Object.Element.self)
    // The array lives as long as its reference, which the caller has: it is used again behind the call.
    let result = try body(UnsafeMutableBufferPointer(start: start, count: count))
    ArrayStorage.keep(address)
    return result
  }
}

/// How arrays lie in memory: the number of elements, then the elements. Slots of arrays are aligned by 16, as much as any
/// type of Swift wants.
@usableFromInline
enum ArrayStorage {
  /// Where the elements begin.
  @inlinable
  @inline(__always)
  static func offset<Element>(_ type: Element.Type) -> Int { max(8, MemoryLayout<Element>.alignment) }

  @inlinable
  @inline(__always)
  static func elements<Element>(
    of array: UnsafeMutableRawPointer, _ type: Element.Type
  ) -> UnsafeMutablePointer<Element> {
    (array + offset(type)).assumingMemoryBound(to: Element.self)
  }

  @inlinable
  @inline(__always)
  static func element<Element>(
    _ index: Int, of array: UnsafeMutableRawPointer, _ type: Element.Type
  ) -> UnsafeMutablePointer<Element> {
    precondition(index >= 0 && index < array.load(as: Int.self), "Index out of range")
    return elements(of: array, type) + index
  }

  /// A new array, with room for `count` elements and none in it: nobody looks at them until it is published.
  @usableFromInline
  static func make<Element>(_ type: Element.Type, _ count: Int) -> UnsafeMutableRawPointer {
    let offset = offset(type)
    let (size, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
    // One byte more: an address just behind the last element is still one in the array.
    let (bytes, sumOverflow) = size.addingReportingOverflow(offset + 1)
    if overflow || sumOverflow { refuse(count) }
    let record = TypeDiscovery.array(of: type, elementsAt: offset)
    let index = SizeClasses.index(of: UInt(bytes))
    let taken =
      index == SizeClasses.large
      ? HeapAllocator.large(of: record, class: index, bytes: bytes)
      : HeapAllocator.slot(of: record, key: HeapCache.key(record.pointee.key, class: index), class: index)
    let array = UnsafeMutableRawPointer(bitPattern: taken.address).unsafelyUnwrapped
    array.storeBytes(of: 0, as: Int.self)
    releaseM(taken.m)
    return array
  }

  /// All elements are there.
  @inlinable
  @inline(__always)
  static func publish(_ array: UnsafeMutableRawPointer, _ count: Int) {
    apus_store_word(array, UInt(bitPattern: count))
  }

  @usableFromInline
  @inline(never)
  static func keep(_ array: UnsafeMutableRawPointer) {}

  @usableFromInline
  @inline(never)
  static func refuse(_ count: Int) -> Never {
    FatalReport.panic("managed heap: an array cannot have \(count) elements")
  }
}
