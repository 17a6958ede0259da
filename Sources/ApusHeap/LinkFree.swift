public import ApusRuntime

/// Values with links must not be copied out of objects or written over others: a link that lies anywhere else is nothing
/// that the collector knows of, and one that is stored without the barrier could be missed. So each property that is read
/// or written as a whole is checked for that, by its type.
///
/// For numbers, strings, and whatever is smaller than a link, the compiler evaluates the check; for other types it is a look
/// into a table, some nanoseconds.
@usableFromInline
enum LinkFree {
  @inlinable
  @inline(__always)
  static func check<Value>(_ type: Value.Type) {
    if MemoryLayout<Value>.size < LinkPlace.size { return }
    if type == Int.self || type == UInt.self || type == Double.self || type == String.self || type == Int64.self
      || type == UInt64.self || type == Int32.self || type == UInt32.self || type == Float.self
      || type is AnyObject.Type
    {
      return
    }
    let key = TypeKey.of(type)
    if let known = HeapTypes.find(key), known.pointee.linkCount == 0 { return }
    checkUnknown(type)
  }

  /// A type that was not met before, or one with links.
  @usableFromInline
  @inline(never)
  static func checkUnknown<Value>(_ type: Value.Type) {
    if TypeDiscovery.type(type).pointee.linkCount == 0 { return }
    FatalReport.panic(
      "managed heap: a value of \(type) has links and can be neither read nor written as a whole: "
        + "use the links one by one, reference[\\.property.link]")
  }
}

/// The number by which the heap knows a type: the address of its metadata.
@usableFromInline
enum TypeKey {
  @inlinable
  @inline(__always)
  static func of<Value>(_ type: Value.Type) -> UInt { unsafeBitCast(type as Any.Type, to: UInt.self) }
}
