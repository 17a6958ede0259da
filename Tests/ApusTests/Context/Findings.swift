import Testing

import struct Synchronization.Atomic
import struct Synchronization.Mutex

/// What a test found wrong on its goroutines, where the test library does not know which test is running.
final class Findings: Sendable {
  private let lines = Mutex<[String]>([])

  /// Notes `what` with its line unless `condition` holds.
  func check(_ condition: Bool, _ what: @autoclosure () -> String = "", line: Int = #line) {
    if condition { return }
    let text = "line \(line): \(what())"
    lines.withLock { $0.append(text) }
  }

  var all: [String] { lines.withLock { $0 } }
}

/// Runs `body` in a goroutine and has the test fail for everything that it found wrong.
func checking(_ body: @escaping @Sendable (Findings) throws -> Void) throws {
  let findings = Findings()
  try onGoroutine { try body(findings) }
  #expect(findings.all == [])
}

/// A number that goroutines raise.
final class Counter: Sendable {
  private let value = Atomic<Int>(0)
  func add(_ amount: Int = 1) { value.wrappingAdd(amount, ordering: .acquiringAndReleasing) }
  var count: Int { value.load(ordering: .acquiring) }
}
