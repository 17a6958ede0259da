import Glibc

import struct Synchronization.Atomic

/// For how many seconds a stress may count no operation before it is taken for a hang.
private let patience = 60

/// The run that the watchdog looks at: an unmanaged reference, replaced by the next run's and never released, so that
/// the thread can follow it without a lock (a stress that hangs may hang with any lock held).
private let watched = Atomic<UInt>(0)

/// Makes `run` the one that the watchdog looks at.
func watch(_ run: StressRun) {
  watched.store(UInt(bitPattern: Unmanaged.passRetained(run).toOpaque()), ordering: .releasing)
}

/// Starts the thread that ends the process with status 4 when the watched run makes no progress. It is a thread of its
/// own and no goroutine, since a hang of the scheduler is what it is there for.
func startWatchdog() {
  startThread {
    var last: UInt = 0
    var lastOperations = -1
    var stale = 0
    while true {
      sleep(1)
      let current = watched.load(ordering: .acquiring)
      guard let address = UnsafeRawPointer(bitPattern: current) else { continue }
      let run = Unmanaged<StressRun>.fromOpaque(address).takeUnretainedValue()
      let operations = run.operations
      if current != last || operations != lastOperations {
        (last, lastOperations, stale) = (current, operations, 0)
        continue
      }
      stale += 1
      if stale < patience { continue }
      complain(
        "\(run.name) hangs: no progress for \(patience) s after \(operations) operations, "
          + "\(run.migrations) migrations and \(run.losses) losses, seed \(run.seed)")
      if getenv("APUS_STRESS_CORE") != nil { abort() }
      _exit(4)
    }
  }
}
