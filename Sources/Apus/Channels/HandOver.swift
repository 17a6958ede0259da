public import ApusRuntime

/// Where an element lies while its goroutine waits: in the goroutine's record when it fits, else in memory of its own,
/// which is allocated before the channel is locked.
@usableFromInline
struct HandOver<Element: ~Copyable> {
  @usableFromInline let address: UnsafeMutablePointer<Element>

  /// Whether an element fits into a slot of `SlotSize.bytes`.
  @inlinable
  @inline(__always)
  static var fits: Bool {
    MemoryLayout<Element>.size <= SlotSize.bytes && MemoryLayout<Element>.alignment <= SlotSize.alignment
  }

  @inlinable
  @inline(__always)
  init(slot: UnsafeMutableRawPointer) {
    address = Self.fits ? slot.bindMemory(to: Element.self, capacity: 1) : .allocate(capacity: 1)
  }

  /// Releases the memory; the element has been moved out, or never came.
  @inlinable
  @inline(__always)
  func dispose() {
    if !Self.fits { address.deallocate() }
  }
}
