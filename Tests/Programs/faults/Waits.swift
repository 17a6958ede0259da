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
  yieldUntil(waiting: 11)
  go { waits.mutex.withLock { _ in receive(waits) } }
  go { waits.shared.withReadLock { _ in receive(waits) } }
  go { waits.exclusive.withWriteLock { _ in receive(waits) } }
  yieldUntil(waiting: 14)
  go { lockMutex(waits) }
  go { lockForReading(waits) }
  go { lockForWriting(waits) }
  // One may be stopped on its way, where a step takes long.
  yieldUntil(waiting: 17)
  while Runtime.schedulerStatistics.idleProcessors < Runtime.maxProcs - 1 { Goroutine.yield() }
}

@inline(never)
func readTold(_ descriptor: CInt) {
  blocking { _ = read(descriptor, UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8), 8) }
  afterwards()
}

@inline(never)
func readUntold(_ descriptor: CInt) {
  _ = read(descriptor, UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8), 8)
  afterwards()
}

@inline(never)
func computeForEver() -> Never { while true {} }

/// Returns when all have begun.
func startHogs(_ count: Int) {
  let begun = WaitGroup()
  begun.add(count)
  for _ in 0..<count {
    go {
      begun.done()
      computeForEver()
    }
  }
  begun.wait()
}

/// In a tenth of a second a thread that is not the runtime's sends SIGQUIT.
func quitSoon() {
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    { _ in
      usleep(100_000)
      kill(getpid(), SIGQUIT)
      while true { pause() }
    }, nil)
}

/// Runs the scenario called `scenario`; false when there is none of that name.
func runWaits(_ scenario: String) -> Bool {
  switch scenario {
  case "waits-dump":
    startWaits(Waits())
    print(Runtime.dump())
  case "waits-profile":
    // To a file whose name comes behind.
    startWaits(Waits())
    let profile = Runtime.goroutineProfile()
    guard let file = fopen(CommandLine.arguments[2], "w") else { return false }
    fwrite(profile, 1, profile.count, file)
    fclose(file)
  case "waits-quit":
    startWaits(Waits())
    kill(getpid(), SIGQUIT)
    while true { pause() }
  case "quit-busy":
    // Not one goroutine comes to a scheduling point any more.
    startHogs(Runtime.maxProcs - 1)
    kill(getpid(), SIGQUIT)
    while true {}
  case "quit-idle":
    quitSoon()
    receive(Waits())
  case "quit-hogs":
    // Twice as many as there are processors: some are stopped, whose turn it is not.
    startHogs(2 * Runtime.maxProcs)
    quitSoon()
    receive(Waits())
  case "quit-syscalls":
    var ends: [CInt] = [0, 0]
    pipe(&ends)
    let reading = ends[0]
    for _ in 0..<3 {
      go { readTold(reading) }
      go { readUntold(reading) }
    }
    while readersInKernel(of: reading) < 6 { Goroutine.sleep(for: .milliseconds(1)) }
    quitSoon()
    receive(Waits())
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
