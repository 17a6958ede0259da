import Synchronization

/// Stacks without a goroutine of which all have the same memory, last in first out: the numbers of their slots. They lie
/// outside of the stacks, so that a free stack need not be touched. Under the pools' lock.
struct FreeStacks: ~Copyable {
  private var slots: UnsafeMutablePointer<UInt32>?
  /// Written under the lock; sysmon reads it without.
  private let counter = Atomic<Int>(0)
  /// How many nobody has needed since `takeUnneeded` was last called: the fewest there have been, less those released since.
  private(set) var unneeded = 0

  private(set) var count: Int {
    get { counter.load(ordering: .relaxed) }
    nonmutating set { counter.store(newValue, ordering: .relaxed) }
  }

  /// Makes room for `capacity` numbers, once; untouched room costs no memory.
  mutating func reserve(_ capacity: Int) {
    if slots == nil {
      slots = PersistentMemory.map(bytes: 4 * capacity).bindMemory(to: UInt32.self, capacity: capacity)
    }
  }

  mutating func push(_ slot: UInt32) {
    slots.unsafelyUnwrapped[count] = slot
    count += 1
  }

  /// For a goroutine.
  mutating func pop() -> UInt32? {
    guard let slot = takeLast() else { return nil }
    unneeded = min(unneeded, count)
    return slot
  }

  /// For its memory. It counts as one of those that nobody needed.
  mutating func popForRelease() -> UInt32? {
    guard let slot = takeLast() else { return nil }
    unneeded = max(unneeded - 1, 0)
    return slot
  }

  private mutating func takeLast() -> UInt32? {
    let left = count - 1
    if left < 0 { return nil }
    count = left
    return slots.unsafelyUnwrapped[left]
  }

  /// How many nobody has needed since the last call.
  mutating func takeUnneeded() -> Int {
    defer { unneeded = count }
    return unneeded
  }
}
