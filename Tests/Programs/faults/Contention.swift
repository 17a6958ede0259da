import Apus
import Glibc

private func write(_ profile: [UInt8], to path: String) {
  guard let file = fopen(path, "w") else { exit(1) }
  fwrite(profile, 1, profile.count, file)
  fclose(file)
}

/// Behind each wait something is done, so that it is no tail call.
@inline(never) private func goneOn() -> Int { 1 }

@inline(never) func blockedReceive(_ channel: Channel<Int>) -> Int { (channel.receive() ?? 0) + 1 }

@inline(never) func blockedSend(_ channel: Channel<Int>) -> Int {
  channel.send(1)
  return goneOn()
}

@inline(never) func blockedSelect(_ first: Channel<Int>, _ second: Channel<Int>) -> Int {
  switch select(first.receiving, second.receiving) {
  case .first: 1
  case .second: 2
  }
}

@inline(never) func blockedLock(_ mutex: Mutex<Int>) -> Int { mutex.withLock { $0 } + 1 }
@inline(never) func blockedRead(_ lock: RWMutex<Int>) -> Int { lock.withReadLock { $0 } + 1 }
@inline(never) func blockedWrite(_ lock: RWMutex<Int>) -> Int { lock.withWriteLock { $0 } + 1 }

@inline(never) func blockedJoin(_ group: WaitGroup) -> Int {
  group.wait()
  return goneOn()
}

@inline(never) func blockedCondition(_ mutex: Mutex<Int>, _ condition: Condition) -> Int {
  mutex.withLock(waitingOn: condition, until: { $0 != 0 }) { $0 } + 1
}

@inline(never) func blockedAcquire(_ semaphore: Apus.Semaphore) -> Int {
  semaphore.acquire()
  return goneOn()
}

@inline(never) func sleepMeanwhile() -> Int {
  Goroutine.sleep(for: .milliseconds(1))
  return goneOn()
}

/// Writes a profile to `path` of goroutines that have waited in every way, and of one that has slept.
func writeBlockProfile(to path: String) {
  Runtime.blockProfileRate = 1
  let (channel, full, first, second) = (Channel<Int>(), Channel<Int>(), Channel<Int>(), Channel<Int>())
  let (mutex, flag, condition) = (Mutex(0), Mutex(0), Condition())
  let (readers, writers) = (RWMutex(0), RWMutex(0))
  let (joined, semaphore, ended) = (WaitGroup(), Apus.Semaphore(0), WaitGroup())
  joined.add()
  func start(_ body: @escaping @Sendable () -> Int) {
    ended.go { if body() == 0 { exit(1) } }
  }
  mutex.withLock { _ in
    readers.withWriteLock { _ in
      writers.withReadLock { _ in
        start { blockedReceive(channel) }
        start { blockedSend(full) }
        start { blockedSelect(first, second) }
        start { blockedLock(mutex) }
        start { blockedRead(readers) }
        start { blockedWrite(writers) }
        start { blockedJoin(joined) }
        start { blockedCondition(flag, condition) }
        start { blockedAcquire(semaphore) }
        start { sleepMeanwhile() }
        waitUntilWaiting(9)
      }
    }
  }
  channel.send(1)
  _ = full.receive()
  second.send(1)
  joined.done()
  flag.withLock { $0 = 1 }
  condition.signal()
  semaphore.release()
  ended.wait()
  write(Runtime.blockProfile(), to: path)
}

/// Returns when `count` goroutines wait, and do not sleep for a moment.
private func waitUntilWaiting(_ count: UInt64) {
  while true {
    let waiting = Runtime.metrics.first { $0.name == "/sched/goroutines/waiting:goroutines" }
    let all = Runtime.metrics.first { $0.name == "/sched/goroutines:goroutines" }
    if case .integer(count)? = waiting?.value, case .integer(count + 1)? = all?.value { return }
    Goroutine.yield()
  }
}

@inline(never) func holdContended(_ mutex: Mutex<Int>, _ started: WaitGroup) -> Int {
  mutex.withLock { value in
    started.done()
    waitUntilWaiting(11)
    let end = ContinuousClock.now + .milliseconds(20)
    while ContinuousClock.now < end { value &+= 1 }
    return value | 1
  }
}

/// Writes a profile to `path` of one goroutine that holds a lock for which ten others wait.
func writeMutexProfile(to path: String) {
  Runtime.mutexProfileFraction = 1
  let mutex = Mutex(0)
  let (started, ended) = (WaitGroup(), WaitGroup())
  started.add()
  ended.go { if holdContended(mutex, started) == 0 { exit(1) } }
  started.wait()
  for _ in 0..<10 { ended.go { if blockedLock(mutex) == 0 { exit(1) } } }
  ended.wait()
  write(Runtime.mutexProfile(), to: path)
}
