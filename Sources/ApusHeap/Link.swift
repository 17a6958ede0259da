/// A reference from one managed object to another: a stored property of a type whose values are managed objects.
///
///     struct Node {
///       var next = Link<Node>()
///       var value: Int
///     }
///
/// Outside the heap a link is nil and stays so. In an object it is read and written through the object's `Ref`, where it
/// has the type `Ref<Target>?`: `node.next = other`. A value of this type is of no use by itself, and cannot be copied out
/// of an object.
///
/// Links lie in structures and tuples. A link in an enumeration (an optional one, for example), in an existential or in an
/// `InlineArray` is refused when the first object is made: the collector could not find it. Several links of one kind are
/// `Links`.
///
/// A link is four bytes, so that objects are small, and what they refer to is in the cache more often.
public struct Link<Target> {
  // How it is read and written: `apus_load_link`.
  @usableFromInline var number: UInt32 = 0

  /// A nil link.
  @inlinable
  public init() {}
}

// Unchecked is not needed: outside the heap it is a constant.
extension Link: Sendable {}

/// A fixed number of links.
///
///     struct Tree {
///       var children = Links<4, Tree>()
///     }
///
/// Through the object's `Ref` they are read and written one by one: `tree.children[2] = other`.
public struct Links<let count: Int, Target> {
  @usableFromInline var numbers = [count of UInt32](repeating: 0)

  /// So many nil links.
  @inlinable
  public init() {}
}

extension Links: Sendable {}
