import CApus

/// Operating-system threads.
enum Thread {
  /// Starts a detached thread; 0 or an errno.
  static func start(
    _ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?, _ argument: UnsafeMutableRawPointer,
    stackSize: Int = stackSize
  ) -> Int32 {
    -apus_thread_start(body, argument, stackSize)
  }

  /// The stack of a thread of the runtime: the scheduler loop and thread creation run on it, no program code. Debug
  /// builds have far deeper frames. Untouched pages cost nothing.
  static var stackSize: Int { 256 << 10 }

  static var id: Int32 { apus_gettid() }

  /// Names the calling thread, for debuggers and /proc. Not a `String`: a debug build would allocate to hand it to C, while
  /// somebody may have destroyed malloc's heap and report it.
  static func setName(_ name: StaticString) {
    apus_thread_name(UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self))
  }

  /// Blocks all signals on the calling thread but libc's own two, and SIGSEGV, with which a stack is brought back that the
  /// thread looks at (`Shelf`): the program's are for its own threads.
  static func blockSignals() {
    var mask: UInt64 = ~(3 << 31 | 1 << 10)
    _ = apus_signal_mask_set(&mask)
  }

  /// Lets another thread have the CPU.
  static func yield() {
    apus_sched_yield()
  }

  /// Sleeps for longer than a goroutine mostly takes to come to its turn that was just made ready. (Go's thieves sleep for
  /// 3 microseconds, which the kernel's slack makes about 55; the threads here have no slack. With 3 real microseconds
  /// goroutines that wake each other on one P are robbed thousands of times in a second.)
  static func pauseBriefly() {
    apus_sleep_ns(50000)
  }

  /// Sleeps until `when` on the monotonic clock.
  static func sleep(until when: Int64) {
    while true {
      let left = when &- Clock.nanotime()
      if left <= 0 { return }
      apus_sleep_ns(left)
    }
  }

  /// Sleeps for about `nanoseconds`; less when a signal comes.
  static func sleep(nanoseconds: Int64) {
    apus_sleep_ns(nanoseconds)
  }

  /// The calling thread's stack.
  static var stackBounds: (lo: UInt, hi: UInt) {
    var lo: UInt = 0
    var hi: UInt = 0
    _ = apus_thread_stack(&lo, &hi)
    return (lo, hi)
  }
}
