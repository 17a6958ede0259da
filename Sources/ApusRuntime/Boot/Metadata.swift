#if DEBUG
  import CApus
#endif

/// Protocol conformances and metadata that are expensive at first use, looked up once beside the program (Go's
/// `itabsinit`).
///
/// The first `print` of a struct in a process instantiates the metadata of reflection, by way of the demangler, which takes
/// half a millisecond and 12 pages of stack; every later one 3. Left to the program that would be some goroutine's stack, of
/// which the pages stay.
enum Metadata {
  /// What has to be there before the first goroutine runs.
  static func prepare() {
    #if DEBUG
      prepareForUnspecialized()
    #endif
  }

  /// What a first print looks up. By the template thread, which has time and a stack of its own, and waits for the locks of
  /// malloc and of Swift's tables as nobody else may: a program that prints no struct, as most that are short, is not kept
  /// waiting for it.
  static func prepareForPrinting() {
    var sink = Discard()
    print(Probe(), to: &sink)
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
