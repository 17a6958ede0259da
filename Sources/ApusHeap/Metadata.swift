/// What reflection does not tell, read from the metadata that the compiler emits (Swift's ABI, docs/ABI/TypeMetadata.rst of
/// the Swift project).
private func words(of type: Any.Type) -> UnsafePointer<UInt> {
  UnsafePointer(bitPattern: unsafeBitCast(type, to: UInt.self)).unsafelyUnwrapped
}

private enum Kind {
  static var structure: UInt { 0x200 }
  static var enumeration: UInt { 0x201 }
  static var optional: UInt { 0x202 }
  static var tuple: UInt { 0x301 }
  static var existential: UInt { 0x303 }
}

/// Types with fields.
enum Aggregates {
  static func contains(_ type: Any.Type) -> Bool {
    let kind = words(of: type)[0]
    return kind == Kind.structure || kind == Kind.tuple
  }
}

/// The payloads of an enumeration's cases.
enum EnumPayloads {
  static func isEnumeration(_ type: Any.Type) -> Bool {
    let kind = words(of: type)[0]
    return kind == Kind.enumeration || kind == Kind.optional
  }

  /// The types of all payloads; those that cannot be told (in a program without reflection metadata) are left out.
  ///
  /// A type's metadata leads to its descriptor, which leads to its field descriptor: a head of 16 bytes, then a record of 12
  /// for each case, with the mangled name of the payload's type.
  static func types(of type: Any.Type) -> [Any.Type] {
    let metadata = words(of: type)
    let descriptor = UnsafeRawPointer(bitPattern: metadata[1]).unsafelyUnwrapped
    guard let fields = relative(descriptor + 16) else { return [] }
    let recordSize = Int(fields.load(fromByteOffset: 10, as: UInt16.self))
    let count = Int(fields.load(fromByteOffset: 12, as: UInt32.self))
    var types: [Any.Type] = []
    for index in 0..<count {
      guard let name = relative(fields + 16 + index * recordSize + 4) else { continue }
      let payload = _getTypeByMangledNameInContext(
        name.assumingMemoryBound(to: UInt8.self), UInt(mangledLength(name)), genericContext: descriptor,
        genericArguments: UnsafeRawPointer(metadata + 2))
      if let payload { types.append(payload) }
    }
    return types
  }

  /// What a relative pointer at `place` points to; nil for a null one.
  private static func relative(_ place: UnsafeRawPointer) -> UnsafeRawPointer? {
    let offset = place.load(as: Int32.self)
    return offset == 0 ? nil : place + Int(offset)
  }

  /// Mangled names in metadata end with a zero, but symbolic references in them have any bytes: a control character and an
  /// offset of 4 bytes (or, from 0x18 on, an address of 8).
  private static func mangledLength(_ name: UnsafeRawPointer) -> Int {
    var length = 0
    while true {
      let byte = name.load(fromByteOffset: length, as: UInt8.self)
      if byte == 0 { return length }
      length += byte >= 0x18 && byte <= 0x1f ? 9 : byte >= 0x01 && byte <= 0x17 ? 5 : 1
    }
  }
}

/// `InlineArray`s, which have no fields for reflection.
enum InlineArrayMetadata {
  /// The element type if `type` is an `InlineArray`: its metadata has the descriptor that all of them share, and then its
  /// two generic arguments.
  static func element(of type: Any.Type) -> Any.Type? {
    let metadata = words(of: type)
    guard metadata[0] == Kind.structure, metadata[1] == words(of: [1 of UInt8].self)[1] else { return nil }
    return unsafeBitCast(metadata[3], to: Any.Type.self)
  }
}

/// Existential types.
enum ExistentialMetadata {
  /// Whether values are three words and a type, as those of `Any` and of most protocols are. The metadata's second word has
  /// flags: bit 31 is set for those that are not restricted to classes, bits 24 to 29 for special ones (errors).
  static func isOpaque(_ type: Any.Type) -> Bool {
    let metadata = words(of: type)
    guard metadata[0] == Kind.existential else { return false }
    let flags = UInt32(truncatingIfNeeded: metadata[1])
    return flags & 0x8000_0000 != 0 && flags & 0x3f00_0000 == 0
  }
}
