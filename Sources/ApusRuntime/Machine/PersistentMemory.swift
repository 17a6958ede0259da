import CApus

/// Memory for the runtime's own records, straight from the kernel (Go's `persistentalloc`). Records are never returned;
/// arrays that grow are.
///
/// Not malloc: a goroutine can be stopped while it holds malloc's lock, and the runtime must not wait for that.
enum PersistentMemory {
  /// `size` zeroed bytes, aligned to a page. Ends the process with a clear message when the kernel has none.
  static func map(bytes size: Int) -> UnsafeMutableRawPointer {
    let rounded = (size + 4095) & ~4095
    guard let address = apus_mmap(rounded) else {
      FatalReport.fatalError("runtime: cannot map memory for the runtime's own records")
    }
    return address
  }

  /// Returns what `map` gave for the same size.
  static func unmap(_ address: UnsafeMutableRawPointer, bytes size: Int) {
    _ = apus_munmap(address, (size + 4095) & ~4095)
  }
}

/// A bump allocator over `PersistentMemory`. Whoever owns it holds a lock over it or is its only user.
struct PersistentArena {
  private var next: UInt = 0
  private var end: UInt = 0

  /// `size` zeroed bytes aligned to a cache line, in chunks of 64 KiB from the kernel.
  mutating func allocate(bytes size: Int) -> UnsafeMutableRawPointer {
    let rounded = UInt((size + 63) & ~63)
    if end &- next < rounded {
      let chunk = max(rounded, 65536)
      next = UInt(bitPattern: PersistentMemory.map(bytes: Int(chunk)))
      end = next + chunk
    }
    defer { next += rounded }
    return UnsafeMutableRawPointer(bitPattern: next)!
  }
}
