import Apus
import ApusRuntime

/// Reads of the runtime's monotonic clock. No peer has this one: it is there so that a trace of the system calls can show
/// that there are none.
func clockReads(_ options: Options) {
  let size = options.size ?? 1_000_000
  let start = nanoseconds()
  var last = Clock.nanotime()
  for _ in 0..<size {
    let now = Clock.nanotime()
    precondition(now >= last, "the monotonic clock went backwards")
    last = now
  }
  report("clock", options, size: size, duration: nanoseconds() - start, operations: size)
}

/// Prints the number of processors that the runtime counts.
func processorCount(_ options: Options) {
  print(Runtime.cpuCount)
}
