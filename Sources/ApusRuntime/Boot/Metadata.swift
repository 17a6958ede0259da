/// Protocol conformances and metadata that are expensive at first use (Go's `itabsinit`), looked up once on the big
/// system stack.
///
/// The first `print` of a struct in a process instantiates the metadata of reflection, by way of the demangler, and
/// touches 12 pages of stack; every later one 3. Left to the program that would be some goroutine's stack, of which the
/// pages stay. Costs a third of a millisecond, which the program's own first print is quicker by.
enum Metadata {
  static func prepare() {
    var sink = Discard()
    print(Probe(), to: &sink)
  }

  private struct Probe {
    var number = 1
    var text = ""
  }

  private struct Discard: TextOutputStream {
    mutating func write(_ string: String) {}
  }
}
