import CApus

/// The stack on which a thread of the runtime takes its signals: a goroutine's own may be the one that overflowed.
enum SignalStack {
  /// The size: what the kernel says it needs for the registers of this processor, and room for the handlers.
  static func size(minimum: Int, page: Int) -> Int { (max(minimum, 8192) + (64 << 10) + page - 1) & ~(page - 1) }

  /// Gives the calling thread, `m`, a signal stack, once.
  static func install(_ m: MRef) {
    if m.pointee.head.signal_stack == 0 {
      let size = sched.pointee.facts.signalStackSize
      m.pointee.head.signal_stack = UInt(bitPattern: PersistentMemory.map(bytes: size))
      m.pointee.head.signal_stack_size = UInt(size)
    }
    _ = apus_signal_stack_install(m.cHead)
  }

  /// Takes it from the calling thread, which ends; the record keeps the memory for the next one.
  static func remove(_ m: MRef) {
    _ = apus_signal_stack_remove()
  }
}
