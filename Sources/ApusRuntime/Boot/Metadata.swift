#if DEBUG
  import CApus
#endif

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
    #if DEBUG
      prepareForUnspecialized()
    #endif
  }

  #if DEBUG
    /// Code that is not optimized finds out at run time how to destroy a value with atomics in it; for the first one that
    /// takes more than the smallest stack. And it looks up each generic type by its name at the first use, which allocates:
    /// in a section of the runtime that would wait for a lock of malloc, perhaps a stopped goroutine's.
    private static func prepareForUnspecialized() {
      _ = SemaphoreRoot(0)
      _ = apus_metadata_prepare()
    }
  #endif

  private struct Probe {
    var number = 1
    var text = ""
  }

  private struct Discard: TextOutputStream {
    mutating func write(_ string: String) {}
  }
}
