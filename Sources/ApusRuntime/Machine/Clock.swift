import CApus

/// The monotonic clock.
package enum Clock {
  /// Nanoseconds of CLOCK_MONOTONIC, which does not go backwards (Go's `nanotime`). 30 ns: the vDSO's function is called
  /// by the address that boot found in the image, without a system call; libc's where there was none.
  package static func nanotime() -> Int64 {
    apus_nanotime(apus_clock_function())
  }

  /// Nanoseconds for which the calling thread has had a CPU. A system call.
  static func threadTime() -> Int64 { apus_thread_time() }
}
