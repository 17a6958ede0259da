import Glibc

// Handlers run on any thread: they must not be in a file whose code is the main actor's.

nonisolated(unsafe) private let handled: UnsafeMutablePointer<Int32> = {
  let count = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
  count.pointee = 0
  return count
}()

/// Has `number` counted by a handler.
func countSignals(_ number: Int32) {
  _ = handled.pointee
  signal(number) { _ in handled.pointee += 1 }
}

/// How many the handler has counted.
func countedSignals() -> Int32 { handled.pointee }

/// Has `number` end the process with `status` 7.
func exitBySignal(_ number: Int32) {
  signal(number) { _ in _exit(7) }
}
