import CApus

/// Memory for the tables of a symbolication, straight from the kernel: a report may be about a goroutine that holds
/// malloc's lock. Only what is used costs memory, and all of it goes back at once.
struct SymbolArena: ~Copyable {
  /// Address space: the tables of a program with a million functions take a tenth of it.
  private static let size = 256 << 20

  private var memory: UnsafeMutableRawPointer?
  private var used = 0

  init() {
    memory = apus_mmap(Self.size)
  }

  /// Room for `count` values, uninitialised; nil when there is none left.
  mutating func allocate<T>(_ type: T.Type, count: Int) -> UnsafeMutablePointer<T>? {
    guard let memory, count >= 0, count <= (Self.size - used) / MemoryLayout<T>.stride - 1 else { return nil }
    let start = (used + 15) & ~15
    used = start + count * MemoryLayout<T>.stride
    return (memory + start).bindMemory(to: T.self, capacity: count)
  }

  /// Hands `body` everything that is left as room for values of one type, and keeps as many of them as it returns. For a
  /// table whose length is not known before it is made.
  mutating func fill<T>(_ type: T.Type, _ body: (UnsafeMutableBufferPointer<T>) -> Int) -> UnsafeMutableBufferPointer<T>
  {
    let start = (used + 15) & ~15
    guard let memory, start < Self.size else { return UnsafeMutableBufferPointer(start: nil, count: 0) }
    let capacity = (Self.size - start) / MemoryLayout<T>.stride
    let first = (memory + start).bindMemory(to: T.self, capacity: capacity)
    let count = body(UnsafeMutableBufferPointer(start: first, count: capacity))
    used = start + count * MemoryLayout<T>.stride
    return UnsafeMutableBufferPointer(start: first, count: count)
  }

  /// Gives the memory back. Nothing that was allocated may be used afterwards.
  mutating func close() {
    if let memory { _ = apus_munmap(memory, Self.size) }
    memory = nil
    used = 0
  }
}
