/// What is wrong with the file of a trace.
package struct TraceFault: Error, CustomStringConvertible {
  /// Where in the file, in bytes from its beginning; nil where it is not one place.
  package var offset: Int?
  package var what: String

  package init(_ what: String, at offset: Int? = nil) {
    (self.what, self.offset) = (what, offset)
  }

  package var description: String { offset.map { "at byte \($0): \(what)" } ?? what }
}
