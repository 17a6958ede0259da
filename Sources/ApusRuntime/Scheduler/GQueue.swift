/// A queue of goroutines by their links (Go's `gQueue`): first in, first out.
package struct GQueue {
  package init() {}

  private var first: GRef?
  private var last: GRef?
  package private(set) var count = 0

  mutating func append(_ g: GRef) {
    g.pointee.link = nil
    if let last { last.pointee.link = g } else { first = g }
    last = g
    count += 1
  }

  mutating func removeFirst() -> GRef? {
    guard let g = first else { return nil }
    first = g.pointee.link
    if first == nil { last = nil }
    count -= 1
    return g
  }
}
