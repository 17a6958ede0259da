/// Protocol conformances and metadata that are expensive at first use (Go's `itabsinit`), looked up once on the big
/// system stack: a goroutine that prints its first struct would otherwise touch 40 KB of its own stack for the search.
enum Metadata {
  static func prepare() {
    let probe: any Any.Type = Int.self
    _ = probe is any CustomStringConvertible.Type
  }
}
