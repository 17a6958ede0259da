import Apus
import CApus
import CStress
import Glibc

import struct Synchronization.Atomic

/// Every system call that may sleep, while the signal by which the runtime stops goroutines comes to it again and again, on
/// purpose, and the world is stopped around it: none may see EINTR, come back early or lose what it waited for.
@Sendable func interruptions(_ run: StressRun) {
  let targets = (0..<16).map { _ in Target() }
  let state = State()
  startThread {
    // A thread of its own, of which the runtime knows nothing: it interrupts whatever the scheduler does.
    var random = run.random(1_000_000)
    while !state.isOver.load(ordering: .relaxed) {
      usleep(UInt32(random.pick(20...300)))
      targets[random.pick(0...targets.count - 1)].interrupt()
    }
    state.hasEnded.store(true, ordering: .releasing)
  }
  besideTicker(run) {
    run.withWorkers(targets.count + 1) { worker, random in
      if worker == targets.count {
        dumpAgainAndAgain(run, &random)
        return
      }
      guard let caller = Caller() else {
        run.check(false, "the system refuses what the calls need, error \(errno)")
        return
      }
      while !run.isOver {
        let call = random.pick(0...Int(stress_call_count()) - 1)
        if call == Int(stress_child_call()) { continue }
        let microseconds = random.pick(1...3000)
        let isTold = random.oneIn(2)
        targets[worker].begin(signals: random.pick(0...3))
        let complaint = caller.make(call, microseconds, isTold: isTold)
        targets[worker].end()
        run.check(complaint)
        run.count()
      }
    }
  }
  state.isOver.store(true, ordering: .relaxed)
  run.check(run.waitUntil { state.hasEnded.load(ordering: .acquiring) }, "the interrupting thread does not end")
  run.check(targets.contains { $0.sent > 0 }, "nobody was interrupted")
}

/// Dumps stop the world, with the threads that sleep in it.
private func dumpAgainAndAgain(_ run: StressRun, _ random: inout Random) {
  while !run.isOver {
    Goroutine.sleep(for: .microseconds(random.pick(100...20_000)))
    let text = Runtime.dump()
    run.check(text.hasPrefix("goroutine "), "a dump begins with \(text.prefix(20))")
    run.count()
  }
}

/// A thread in a call, and how many more signals it may get: some waits for a relative time begin anew after each.
private final class Target: Sendable {
  private let thread = Atomic<Int32>(0)
  private let budget = Atomic<Int>(0)
  private let count = Atomic<Int>(0)

  var sent: Int { count.load(ordering: .relaxed) }

  func begin(signals: Int) {
    budget.store(signals, ordering: .relaxed)
    thread.store(Int32(apus_gettid()), ordering: .releasing)
  }

  func end() { thread.store(0, ordering: .relaxed) }

  func interrupt() {
    let thread = thread.load(ordering: .acquiring)
    if thread == 0 || budget.wrappingSubtract(1, ordering: .relaxed).newValue < 0 { return }
    if apus_preempt_send(thread) == 0 { count.wrappingAdd(1, ordering: .relaxed) }
  }
}

private final class State: Sendable {
  let isOver = Atomic<Bool>(false)
  let hasEnded = Atomic<Bool>(false)
}
