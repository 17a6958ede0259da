import ApusRuntime

/// Misuse that ends the process, in Go's words.
@usableFromInline
enum Fatal {
  @usableFromInline
  @inline(never)
  static func panic(_ reason: StaticString) -> Never {
    FatalReport.panic(reason)
  }
}
