import ApusRuntime
@_spi(Reflection) import Swift

/// Finds out where the links of a type lie, when its first object is made, and whether values have to be destroyed.
///
/// Structures and tuples are walked by the standard library's reflection. What an enumeration can hold is read from the
/// field records that the compiler emits (`EnumPayloads`); an `InlineArray` shows its element type in its metadata. What
/// lies behind a pointer (a class's object, an array's buffer) is Swift's and not the heap's.
@usableFromInline
enum TypeDiscovery {
  /// The heap's record of `type`.
  static func type<Object>(_ type: Object.Type) -> HeapTypeRef {
    let key = TypeKey.of(type)
    if let known = HeapTypes.find(key) { return known }
    var walk = Walk(root: type)
    walk.visit(type, at: 0)
    return HeapTypes.register(
      key: key, name: immortalName(of: type), size: Allocation.slotSize(of: type), elements: 0,
      links: walk.links, existentials: walk.existentials, destroy: destroyer(of: type))
  }

  /// The heap's record of arrays of `element`, whose elements begin behind so many bytes.
  static func array<Element>(of element: Element.Type, elementsAt elements: Int) -> HeapTypeRef {
    let key = TypeKey.of(HeapArray<Element>.self)
    if let known = HeapTypes.find(key) { return known }
    var walk = Walk(root: element)
    walk.visit(element, at: 0)
    return HeapTypes.register(
      key: key, name: immortalName(of: HeapArray<Element>.self), size: MemoryLayout<Element>.stride, elements: elements,
      links: walk.links,
      existentials: walk.existentials, destroy: destroyer(of: element))
  }

  private static func destroyer<Object>(of type: Object.Type) -> ((UnsafeMutableRawPointer, Int) -> Void)? {
    if _isPOD(type) { return nil }
    return { $0.assumingMemoryBound(to: Object.self).deinitialize(count: $1) }
  }

  private static func immortalName(of type: Any.Type) -> UnsafePointer<CChar> {
    let text = Array("\(type)".utf8CString)
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
    copy.initialize(from: text, count: text.count)
    return UnsafePointer(copy)
  }

  /// Refuses a value that has a link in one of its existentials: it shows only in the value.
  static func checkExistentials<Object>(of value: Object, _ type: HeapTypeRef) {
    withUnsafeBytes(of: value) { bytes in
      for offset in type.pointee.existentials {
        // Three words of the value or a pointer to it, then its type.
        let word = bytes.loadUnaligned(fromByteOffset: Int(offset) + 3 * MemoryLayout<UInt>.size, as: UInt.self)
        if word == 0 { continue }
        let held = unsafeBitCast(word, to: Any.Type.self)
        var walk = Walk(root: Object.self)
        walk.visit(held, at: 0)
        if !walk.links.isEmpty { walk.refuse("an existential that holds \(held)") }
      }
    }
  }
}

/// A walk over the parts of a type.
struct Walk {
  private(set) var links: [HeapLinkPlace] = []
  private(set) var existentials: [UInt32] = []
  /// Where the walk is, for the message that refuses a link.
  var place = ""
  private let root: Any.Type
  /// Enumerations on the way, which may contain themselves.
  private var enumerations: [Any.Type] = []

  init(root: Any.Type) {
    self.root = root
  }

  /// Looks at a value of `type` that lies `offset` bytes into the object.
  mutating func visit(_ type: Any.Type, at offset: Int) {
    if let link = type as? any LinkStorage.Type {
      for index in 0..<link.linkCount {
        links.append(HeapLinkPlace(offset: UInt32(offset + LinkPlace.size * index), target: link.targetKey))
      }
      return
    }
    if let element = InlineArrayMetadata.element(of: type) {
      visitRefusing(element, "an InlineArray; several links are Links")
      return
    }
    if EnumPayloads.isEnumeration(type) {
      visitEnumeration(type)
      return
    }
    if ExistentialMetadata.isOpaque(type) { existentials.append(UInt32(offset)) }
    // Reflection has no fields for other kinds, and for some no answer either.
    if !Aggregates.contains(type) { return }
    var walk = self
    _ = _forEachField(of: type) { name, fieldOffset, fieldType, _ in
      walk.place = place + "." + String(cString: name)
      walk.visit(fieldType, at: offset + fieldOffset)
      return true
    }
    walk.place = place
    self = walk
  }

  private mutating func visitEnumeration(_ type: Any.Type) {
    if enumerations.contains(where: { $0 == type }) { return }
    enumerations.append(type)
    for payload in EnumPayloads.types(of: type) { visitRefusing(payload, "the enumeration \(type)") }
    enumerations.removeLast()
  }

  /// Looks at a part in which links cannot be.
  private mutating func visitRefusing(_ type: Any.Type, _ what: String) {
    var inner = Walk(root: root)
    inner.place = place
    inner.enumerations = enumerations
    inner.visit(type, at: 0)
    if !inner.links.isEmpty { refuse(what) }
  }

  /// Ends the process for a link in a place where the collector would not find it.
  func refuse(_ what: String) -> Never {
    FatalReport.panic(
      "managed heap: a link in \(root)\(place), in \(what): links lie in structures and tuples, where they are found")
  }
}

/// What the walk knows a link by.
protocol LinkStorage {
  static var linkCount: Int { get }
  static var targetKey: UInt { get }
}

extension Link: LinkStorage {
  static var linkCount: Int { 1 }
  static var targetKey: UInt { TypeKey.of(Target.self) }
}

extension Links: LinkStorage {
  static var linkCount: Int { count }
  static var targetKey: UInt { TypeKey.of(Target.self) }
}
