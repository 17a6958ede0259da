import Apus
import Glibc
import Synchronization

// Handlers run on any thread: they must not be in a file whose code is the main actor's.

private let handled = Atomic<Int>(0)

/// Has `number` counted by a handler.
func countSignals(_ number: Int32) {
  signal(number) { _ in handled.wrappingAdd(1, ordering: .releasing) }
}

/// How many the handler has counted.
func countedSignals() -> Int { handled.load(ordering: .acquiring) }

/// Whether the handler comes to count `count` within ten seconds. However late is in time: the kernel gives the signal to
/// one thread, and where that one waits for a CPU, which others keep busy, the signal waits with it.
func comesToCount(_ count: Int) -> Bool {
  let end = ContinuousClock.now + .seconds(10)
  while countedSignals() < count {
    if ContinuousClock.now >= end { return false }
    Goroutine.sleep(for: .microseconds(100))
  }
  return true
}

/// Computes for so many microseconds.
func compute(microseconds: Int) {
  let end = ContinuousClock.now + .microseconds(microseconds)
  while ContinuousClock.now < end {}
}

/// What a thread does that was given `number` for the handler which is there now, and comes to run it when this is called:
/// with the signal blocked while it runs. Whether the counting handler has then run, once and on this thread.
func lateHandler(of number: Int32) -> () -> Bool {
  var action = sigaction()
  sigaction(number, nil, &action)
  let handler = action.__sigaction_handler.sa_handler!
  return {
    // Another thread that would take it.
    var other = pthread_t()
    pthread_create(&other, nil, { _ in while true { pause() } }, nil)
    let before = countedSignals()
    var (mask, old) = (sigset_t(), sigset_t())
    sigaddset(&mask, number)
    pthread_sigmask(SIG_BLOCK, &mask, &old)
    handler(number)
    usleep(50_000)
    let elsewhere = countedSignals() - before
    pthread_sigmask(SIG_SETMASK, &old, nil)
    // What is pending for the thread comes before the call returns.
    return elsewhere == 0 && countedSignals() - before == 1
  }
}

/// Has `number` end the process with `status` 7.
func exitBySignal(_ number: Int32) {
  signal(number) { _ in _exit(7) }
}
