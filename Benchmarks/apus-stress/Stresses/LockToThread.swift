import Apus

import struct Synchronization.Atomic

/// What a thread's record says once a goroutine has ended locked to the thread: nobody may run there any more.
private let retired = -1

/// Goroutines that lock themselves to their threads and wait there in every way, beside others that are not locked. A
/// locked one must stay on its thread, alone; the thread of one that ends without unlocking must never be seen again.
@Sendable func lockToThread(_ run: StressRun) {
  run.withWorkers(16) { worker, random in
    var migrations = MigrationCounter()
    let echo = Channel<Int>()
    let back = Channel<Int>()
    go { while let value = echo.receive() { back.send(value) } }
    while !run.isOver {
      if worker < 8 {
        holdThread(run, worker + 1, echo, back, &random)
      } else {
        roam(run, echo, back, &random, &migrations)
      }
      if worker == 0, random.oneIn(16) { endLocked(run) }
      run.count()
    }
    echo.close()
    run.countMigrations(migrations.migrations)
  }
}

/// Locks one to three times, waits, and unlocks as often.
private func holdThread(
  _ run: StressRun, _ number: Int, _ echo: Channel<Int>, _ back: Channel<Int>, _ random: inout Random
) {
  let locks = random.pick(1...3)
  for _ in 0..<locks { Goroutine.lockToThread() }
  let thread = ThreadRecord.current
  let owner = thread.owner.exchange(number, ordering: .relaxed)
  run.check(owner == 0, "a goroutine locked a thread that \(owner == retired ? "is retired" : "another holds")")
  for unlocked in 0..<locks {
    for step in 0..<random.pick(1...20) {
      if random.oneIn(2) {
        Goroutine.yield()
      } else {
        echo.send(step)
        run.check(back.receive() == step, "a channel handed a locked goroutine another value")
      }
      run.check(
        ThreadRecord.current === thread,
        "a goroutine locked to thread \(thread.number) runs on \(ThreadRecord.current.number)")
      run.check(thread.owner.load(ordering: .relaxed) == number, "another goroutine ran on a locked thread")
    }
    if unlocked == locks - 1 { thread.owner.store(0, ordering: .relaxed) }
    Goroutine.unlockFromThread()
  }
}

/// Waits without a lock, and looks whether the threads it comes by are anybody's.
private func roam(
  _ run: StressRun, _ echo: Channel<Int>, _ back: Channel<Int>, _ random: inout Random,
  _ migrations: inout MigrationCounter
) {
  for step in 0..<random.pick(1...20) {
    if random.oneIn(2) {
      Goroutine.yield()
    } else {
      echo.send(step)
      run.check(back.receive() == step, "a channel handed a goroutine another value")
    }
    migrations.observe()
    let owner = ThreadRecord.current.owner.load(ordering: .relaxed)
    run.check(owner == 0, "a goroutine runs on a thread that \(owner == retired ? "is retired" : "another holds")")
  }
}

/// Spawns a goroutine that ends while it is locked, and waits for it.
private func endLocked(_ run: StressRun) {
  let group = WaitGroup()
  group.go {
    Goroutine.lockToThread()
    let owner = ThreadRecord.current.owner.exchange(retired, ordering: .relaxed)
    run.check(owner == 0, "a goroutine locked a thread that \(owner == retired ? "is retired" : "another holds")")
    Goroutine.yield()
  }
  group.wait()
}
