// The signal by which goroutines are stopped comes to threads that sleep in the kernel.
import Apus
import CApus
import CStress
import Glibc

import struct Synchronization.Atomic

/// Starts a thread of which the runtime knows nothing.
private func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, Unmanaged.passRetained(Box(body)).toOpaque())
  pthread_detach(thread)
}

/// Every call that may sleep, while signals come to its thread, told and untold: a line for each, `RESULT SIGNALS NAME`.
func interrupted() {
  guard let caller = stress_caller_make() else { fatalError("not what the calls need: error \(errno)") }
  // The child's end is a signal of its own.
  for call in 0..<stress_call_count() where call != stress_child_call() {
    for isTold in [false, true] {
      let target = Target()
      startThread { target.interrupt(times: 4) }
      target.thread.store(Int32(apus_gettid()), ordering: .releasing)
      let result =
        isTold ? blocking { stress_call_once(caller, call, 60_000) } : stress_call_once(caller, call, 60_000)
      target.isOver.store(true, ordering: .relaxed)
      while !target.hasEnded.load(ordering: .acquiring) { usleep(1000) }
      print(result, target.sent.load(ordering: .relaxed), String(cString: stress_call_name(call)))
    }
  }
  stress_caller_free(caller)
}

private final class Target: Sendable {
  let thread = Atomic<Int32>(0)
  let isOver = Atomic<Bool>(false)
  let hasEnded = Atomic<Bool>(false)
  let sent = Atomic<Int>(0)

  func interrupt(times: Int) {
    while thread.load(ordering: .acquiring) == 0 { usleep(100) }
    for _ in 0..<times {
      usleep(10_000)
      if isOver.load(ordering: .relaxed) { break }
      if apus_preempt_send(thread.load(ordering: .relaxed)) == 0 { sent.wrappingAdd(1, ordering: .relaxed) }
    }
    hasEnded.store(true, ordering: .releasing)
  }
}

/// Children end while the goroutines that started them are stopped. Their signal is ignored; no call of anybody else's may
/// return for it. Prints how many children ended, and the results other than 0.
func childrenOfStopped() {
  let end = nanoseconds() + 3_000_000_000
  let children = Tally()
  let group = WaitGroup()
  for _ in 0..<3 {
    group.go {
      while nanoseconds() < end {
        if endChildWhileComputing() { children.add() }
      }
    }
  }
  let results = Channel<CInt>(capacity: 1000)
  for call in 0..<stress_call_count() where stress_call_is_weak(call) != 0 {
    group.go {
      guard let caller = stress_caller_make() else { return results.send(errno) }
      while nanoseconds() < end {
        let result = stress_call_once(caller, call, 200_000)
        if result != 0 && result != CInt(STRESS_MISSING) { results.send(result) }
      }
    }
  }
  group.wait()
  results.close()
  print("children", children.count.load(ordering: .relaxed), terminator: " ")
  results.forEach { print("result", $0, terminator: " ") }
  print()
}

/// A child that ends while this goroutine computes. Not before: as long as `posix_spawn` has the thread's signals blocked,
/// the kernel does not drop SIGCHLD, and gives it to another thread, whose call it interrupts. (A child that slept for 50 ms
/// was sometimes faster than its parent, which waited for a CPU.)
private func endChildWhileComputing() -> Bool {
  let pipe = makePipe()
  defer {
    close(pipe.reading)
    close(pipe.writing)
  }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_adddup2(&actions, pipe.reading, 0)
  var child: pid_t = 0
  var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup("read line"), nil]
  defer { for argument in arguments { free(argument) } }
  if posix_spawn(&child, "/bin/sh", &actions, nil, &arguments, environ) != 0 { return false }
  let enough = nanoseconds() + 100_000_000
  while nanoseconds() < enough - 50_000_000 { compute(nanoseconds: 100_000) }
  write(pipe.writing, "\n", 1)
  while nanoseconds() < enough { compute(nanoseconds: 100_000) }
  var status: CInt = 0
  return waitpid(child, &status, 0) == child && status == 0
}

/// A wait for a relative time ends although the world is stopped again and again meanwhile: how long it took, in
/// milliseconds.
func timeoutsBesideDumps() {
  let waited = Channel<Int>()
  go {
    let start = nanoseconds()
    poll(nil, 0, 300)
    waited.send((nanoseconds() - start) / 1_000_000)
  }
  let ticker = Goroutine.Ticker(every: .milliseconds(50))
  while true {
    switch select(waited.receiving, ticker.channel.receiving) {
    case .first(let milliseconds):
      print(milliseconds ?? -1)
      return
    case .second: _ = Runtime.dump()
    }
  }
}
