import Apus
import Dispatch

/// Runs `body` on a goroutine of its own and returns, or throws, what it does. The calling thread waits.
///
/// A test's own body runs on a thread that is none of the runtime's, inside a Swift task. Swift Testing knows by a
/// task-local value which test an expectation belongs to, and a goroutine is in no task: so expectations stand outside,
/// over what `body` returns. A body that has not ended after a minute ends the process: nothing else would say which test
/// hangs.
func onGoroutine<Value: Sendable, Failure: Error>(
  file: StaticString = #fileID, line: UInt = #line, _ body: @escaping @Sendable () throws(Failure) -> Value
) throws(Failure) -> Value {
  let ended = DispatchSemaphore(value: 0)
  let outcome = Shared<Result<Value, Failure>?>(nil)
  go {
    do throws(Failure) {
      outcome.value = .success(try body())
    } catch {
      outcome.value = .failure(error)
    }
    ended.signal()
  }
  guard ended.wait(timeout: .now() + .seconds(60)) == .success, let result = outcome.value else {
    fatalError("the goroutine of a test did not end", file: file, line: line)
  }
  return try result.get()
}

/// A variable that goroutines share; whoever uses it sees to the order.
final class Shared<Value>: @unchecked Sendable {
  // Unchecked: every test orders its accesses by channels, wait groups or a single processor.
  var value: Value

  init(_ value: Value) {
    self.value = value
  }
}

/// Lets others run until `condition` holds; false when it still does not after half a minute.
func eventually(_ condition: () -> Bool) -> Bool {
  let end = ContinuousClock.now + .seconds(30)
  while !condition() {
    if ContinuousClock.now > end { return false }
    Goroutine.yield()
  }
  return true
}

/// Lets the others run for a while: long enough for what must not happen to happen, if it can.
func yieldOften() {
  for _ in 0..<200 { Goroutine.yield() }
}
