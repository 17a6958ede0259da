public import ApusRuntime

/// Calls `body`, which may sleep in the kernel or compute in a C library for long, and returns or throws what it does.
///
/// Meanwhile the goroutine keeps its thread, and its processor is given to others as soon as there is work for it: at
/// the earliest after some 20 microseconds, so a call that returns at once costs two nanoseconds and no switch. A call that
/// sleeps without being wrapped loses no processor either; the runtime finds out by asking the kernel, a little later.
/// `body` may use the runtime. Regions nest.
///
/// Go's counterpart is what its `syscall` package does around every system call.
@inlinable
public func blocking<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
  Syscall.enter()
  defer { Syscall.exit() }
  return try body()
}
