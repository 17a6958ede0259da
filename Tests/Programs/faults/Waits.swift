// One goroutine for each thing that a goroutine can wait for. The test knows the lines of this file.
import Apus
import Glibc

final class Waits: Sendable {
  let channel = Channel<Int>()
  let full = Channel<Int>(capacity: 1)
  let mutex = Mutex(0)
  let shared = RWMutex(0)
  let exclusive = RWMutex(0)
  let group = WaitGroup()
  let condition = Condition()
  let semaphore = Semaphore(0)
  let parked = WaitGroup()
}

/// Behind every wait, so that no wait is the last thing that a function does: those leave no frame.
@inline(never)
func afterwards() { write(1, "nobody gets here\n", 17) }

@inline(never)
func receive(_ waits: Waits) {
  _ = waits.channel.receive()
  afterwards()
}

@inline(never)
func send(_ waits: Waits) {
  waits.full.send(1)
  afterwards()
}

@inline(never)
func selectTwo(_ waits: Waits) {
  _ = select(waits.channel.receiving, waits.full.sending(1))
  afterwards()
}

@inline(never)
func sleepLong(_ waits: Waits) {
  Goroutine.sleep(for: .seconds(1000))
  afterwards()
}

@inline(never)
func lockMutex(_ waits: Waits) {
  waits.mutex.withLock { $0 = 1 }
  afterwards()
}

@inline(never)
func lockForReading(_ waits: Waits) {
  waits.exclusive.withReadLock { _ in }
  afterwards()
}

@inline(never)
func lockForWriting(_ waits: Waits) {
  waits.shared.withWriteLock { $0 = 1 }
  afterwards()
}

@inline(never)
func waitForGroup(_ waits: Waits) {
  waits.group.wait()
  afterwards()
}

@inline(never)
func waitForCondition(_ waits: Waits) {
  waits.mutex.withLock(waitingOn: waits.condition, until: { $0 == 7 }) { $0 = 1 }
  afterwards()
}

@inline(never)
func acquire(_ waits: Waits) {
  waits.semaphore.acquire()
  afterwards()
}

@inline(never)
func receiveLocked(_ waits: Waits) {
  Goroutine.lockToThread()
  _ = waits.channel.receive()
  afterwards()
}

@inline(never)
func startChild(_ waits: Waits) {
  waits.parked.go { receive(waits) }
  waits.parked.wait()
  afterwards()
}

/// Starts them; some hold what others wait for.
@inline(never)
func startWaits(_ waits: Waits) {
  waits.full.send(0)
  waits.group.add()
  go { receive(waits) }
  go { send(waits) }
  go { selectTwo(waits) }
  go { selectForever() }
  go { sleepLong(waits) }
  go { waitForCondition(waits) }
  go { waitForGroup(waits) }
  go { acquire(waits) }
  go(waits) { receiveLocked($0) }
  go { startChild(waits) }
  Goroutine.yield()
  go { waits.mutex.withLock { _ in receive(waits) } }
  go { waits.shared.withReadLock { _ in receive(waits) } }
  go { waits.exclusive.withWriteLock { _ in receive(waits) } }
  Goroutine.yield()
  go { lockMutex(waits) }
  go { lockForReading(waits) }
  go { lockForWriting(waits) }
  // Of all of them only this one waits for another: they have parked when it runs again.
  for _ in 0..<1000 { Goroutine.yield() }
  while Runtime.schedulerStatistics.idleProcessors < Runtime.maxProcs - 1 { Goroutine.yield() }
}

/// Runs the scenario called `scenario`; false when there is none of that name.
func runWaits(_ scenario: String) -> Bool {
  switch scenario {
  case "waits-dump":
    startWaits(Waits())
    print(Runtime.dump())
  case "waits-quit":
    startWaits(Waits())
    kill(getpid(), SIGQUIT)
    while true { pause() }
  case "quit-busy":
    // Not one goroutine comes to a scheduling point any more.
    for _ in 1..<Runtime.maxProcs { go { while true {} } }
    usleep(50_000)
    kill(getpid(), SIGQUIT)
    while true {}
  case "quit-many":
    parkMany(1000)
    kill(getpid(), SIGQUIT)
    while true { Goroutine.yield() }
  case "quit-abort":
    // Somebody sends SIGABRT; that is not what abort() does.
    var child = pid_t()
    let words: [String] = ["sh", "-c", "kill -ABRT \(getpid())"]
    var arguments = words.map { strdup($0) } + [nil]
    posix_spawn(&child, "/bin/sh", nil, nil, &arguments, environ)
    while true { Goroutine.sleep(for: .seconds(1)) }
  default:
    return false
  }
  return true
}
