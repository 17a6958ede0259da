/// A place in a source file. The parts of its path lie in the image's file.
struct SourcePlace {
  /// The unit's directory, for a `folder` that is relative.
  var directory: UnsafePointer<CChar>?
  /// The file's folder, for a `file` that is relative.
  var folder: UnsafePointer<CChar>?
  var file: UnsafePointer<CChar>
  /// 0 for code that the compiler has made up.
  var line: UInt64

  /// Code that the compiler has made up: it has no line, or `<compiler-generated>` for a file.
  var isInNoFile: Bool {
    line == 0 || Self.lastComponent(of: file).pointee == CChar(bitPattern: UInt8(ascii: "<"))
  }

  /// Whether both are in the same file, as far as its name tells: two units may know it by different paths.
  func isInFile(of other: SourcePlace) -> Bool {
    var (a, b) = (Self.lastComponent(of: file), Self.lastComponent(of: other.file))
    while a.pointee == b.pointee {
      if a.pointee == 0 { return true }
      a += 1
      b += 1
    }
    return false
  }

  /// What follows the last slash of `path`.
  static func lastComponent(of path: UnsafePointer<CChar>) -> UnsafePointer<CChar> {
    var start = path
    var next = path
    while next.pointee != 0 {
      if next.pointee == CChar(bitPattern: UInt8(ascii: "/")) { start = next + 1 }
      next += 1
    }
    return start
  }
}
