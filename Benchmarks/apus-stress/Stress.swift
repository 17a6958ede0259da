import Apus

import struct Synchronization.Atomic

/// A stress by its name.
struct Stress: Sendable {
  /// The name by which the command line chooses it.
  let name: String
  /// What it does, in one line.
  let summary: String
  private let body: @Sendable (StressRun) -> Void

  init(_ name: String, _ summary: String, _ body: @escaping @Sendable (StressRun) -> Void) {
    self.name = name
    self.summary = summary
    self.body = body
  }

  /// The name, padded to the width of the longest.
  var padded: String { name + String(repeating: " ", count: max(0, 16 - name.utf8.count)) }

  /// Runs it for about `seconds` and prints its line.
  ///
  /// - Returns: Whether nothing was lost.
  func perform(seconds: Double, seed: UInt64) -> Bool {
    let start = nanoseconds()
    let run = StressRun(name: name, seed: seed, deadline: start + Int(seconds * 1e9))
    watch(run)
    body(run)
    let passed = run.losses == 0
    let tenths = (nanoseconds() - start) / 100_000_000
    print(
      padded, passed ? "passed" : "FAILED", "\(tenths / 10).\(tenths % 10) s", "operations \(run.operations)",
      "migrations \(run.migrations)", "losses \(run.losses)", "procs \(Runtime.maxProcs)", "seed \(seed)",
      run.lateness.map { "late \($0 / 1000) µs" } ?? "", separator: "  ")
    return passed
  }
}

/// One run of a stress: how long it goes on, what it found, and where its random numbers come from. All goroutines of
/// the stress share it.
final class StressRun: Sendable {
  let name: String
  let seed: UInt64
  private let deadline: Int
  private let operationCount = Atomic<Int>(0)
  private let migrationCount = Atomic<Int>(0)
  private let lossCount = Atomic<Int>(0)
  private let worstLateness = Atomic<Int>(-1)

  /// - Parameter deadline: When to begin no further round, in nanoseconds on the monotonic clock.
  init(name: String, seed: UInt64, deadline: Int) {
    self.name = name
    self.seed = seed
    self.deadline = deadline
  }

  /// Whether no further round is to be begun.
  var isOver: Bool { nanoseconds() >= deadline }

  var operations: Int { operationCount.load(ordering: .relaxed) }
  var migrations: Int { migrationCount.load(ordering: .relaxed) }
  var losses: Int { lossCount.load(ordering: .relaxed) }

  /// The longest time, in nanoseconds, by which a goroutine came to its turn too late; nil where that was not measured.
  var lateness: Int? {
    let late = worstLateness.load(ordering: .relaxed)
    return late < 0 ? nil : late
  }

  /// Counts operations done. The watchdog takes a run that counts none for a minute for a hang.
  func count(_ operations: Int = 1) { operationCount.wrappingAdd(operations, ordering: .relaxed) }

  /// Counts goroutines seen on another thread than before.
  func countMigrations(_ migrations: Int) { migrationCount.wrappingAdd(migrations, ordering: .relaxed) }

  /// Notes by how many nanoseconds a goroutine came to its turn too late.
  func note(late: Int) { worstLateness.max(late, ordering: .relaxed) }

  /// Counts a loss unless `condition` holds, and says on standard error what the first few were.
  func check(_ condition: Bool, _ complaint: @autoclosure () -> String) {
    if condition { return }
    let losses = lossCount.wrappingAdd(1, ordering: .relaxed).newValue
    if losses <= 10 { complain("\(name), seed \(seed): \(complaint())") }
  }

  /// Yields until `condition` holds, for at most ten seconds: as long as the kernel may leave a thread of ours standing
  /// on a busy machine.
  ///
  /// - Returns: Whether it came to hold.
  func waitUntil(_ condition: () -> Bool) -> Bool {
    let end = nanoseconds() + 10_000_000_000
    while !condition() {
      if nanoseconds() >= end { return false }
      Goroutine.yield()
    }
    return true
  }

  /// The random numbers of the part `stream` of this run: the same again for the same seed.
  func random(_ stream: Int) -> Random { Random(seed: seed, stream: UInt64(truncatingIfNeeded: stream)) }

  /// Runs `workers` goroutines with their number and random numbers of their own, and waits for all of them.
  func withWorkers(_ workers: Int, _ body: @escaping @Sendable (_ worker: Int, inout Random) -> Void) {
    let group = WaitGroup()
    for worker in 0..<workers {
      group.go {
        var random = self.random(worker)
        body(worker, &random)
      }
    }
    group.wait()
  }
}
