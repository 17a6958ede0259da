// Programs in which nobody can go on any more, and programs which only look like that.
import Apus
import Glibc

/// A channel on which nothing ever comes.
let silence = Channel<Int>()

@inline(never)
func waitForEver() {
  print(silence.receive() ?? 0)
}

/// Starts a thread that the runtime does not know and forgets about it.
func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let box = Unmanaged.passRetained(Box(body)).toOpaque()
  pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, box)
  pthread_detach(thread)
}

/// `count` goroutines that wait for ever; returns when each of them runs.
func parkMany(_ count: Int) {
  let started = WaitGroup()
  started.add(count)
  for _ in 0..<count {
    go {
      started.done()
      waitForEver()
    }
  }
  started.wait()
}

/// The writing end of a pipe, for a signal handler.
nonisolated(unsafe) var alarmPipe: Int32 = -1

/// A descriptor on which one byte comes after a fifth of a second, from a signal handler: no thread is needed for it.
func lateByte() -> Int32 {
  var ends: [Int32] = [0, 0]
  pipe(&ends)
  alarmPipe = ends[1]
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { _ in
    var byte: UInt8 = 42
    write(alarmPipe, &byte, 1)
  }
  action.sa_flags = SA_RESTART
  sigaction(SIGALRM, &action, nil)
  ualarm(200_000, 0)
  return ends[0]
}

func readByte(_ descriptor: Int32) -> UInt8 {
  var byte: UInt8 = 0
  while read(descriptor, &byte, 1) < 0 {}
  return byte
}

/// One goroutine in each state that a dump can show, and the current one.
func variety() {
  let full = Channel<Int>(capacity: 1)
  full.send(0)
  let group = WaitGroup()
  let never = WaitGroup()
  never.add()
  group.add(4)
  go {
    group.done()
    waitForEver()
  }
  go {
    group.done()
    full.send(1)
  }
  go {
    group.done()
    never.wait()
  }
  go {
    Goroutine.lockToThread()
    group.done()
    waitForEver()
  }
  group.wait()
  // All of them wait a moment after they counted themselves.
  for _ in 0..<1000 { Goroutine.yield() }
  while Runtime.schedulerStatistics.idleProcessors < Runtime.maxProcs - 1 { Goroutine.yield() }
}

/// Runs the deadlock called `scenario`; false when there is none of that name.
func runDeadlock(_ scenario: String, _ count: Int) -> Bool {
  switch scenario {
  case "deadlock":
    waitForEver()
  case "deadlock-many":
    parkMany(count)
    waitForEver()
  case "deadlock-wait-group":
    let group = WaitGroup()
    group.go { waitForEver() }
    group.wait()
  case "deadlock-locked":
    Goroutine.lockToThread()
    let group = WaitGroup()
    group.add()
    go {
      Goroutine.lockToThread()
      group.done()
      waitForEver()
    }
    group.wait()
    waitForEver()
  case "deadlock-thread-ended":
    // With one processor it is the main thread that ends.
    go { Goroutine.lockToThread() }
    waitForEver()
  case "deadlock-after-foreign":
    let greeting = Channel<Int>()
    startThread { greeting.send(1) }
    print(greeting.receive() ?? 0)
    waitForEver()
  case "deadlock-after-thread":
    startThread { usleep(100_000) }
    waitForEver()
  case "deadlock-after-timer", "deadlock-after-timer-locked", "deadlock-after-timer-foreign":
    if scenario == "deadlock-after-timer-locked" { Goroutine.lockToThread() }
    let timer = Goroutine.after(.seconds(40)) {}
    // Where there is another processor, another thread comes to wait for the timer.
    usleep(100_000)
    if scenario == "deadlock-after-timer-foreign" {
      startThread {
        usleep(100_000)
        timer.stop()
      }
    } else {
      timer.stop()
    }
    waitForEver()
  case "foreign-wakes":
    let late = Channel<Int>()
    startThread {
      usleep(200_000)
      late.send(1)
    }
    print("woken \(late.receive() ?? 0)")
  case "goroutine-sleeps":
    let late = Channel<Int>()
    go {
      usleep(200_000)
      late.send(1)
    }
    print("woken \(late.receive() ?? 0)")
  case "goroutine-reads":
    let late = Channel<UInt8>()
    let descriptor = lateByte()
    go { late.send(readByte(descriptor)) }
    print("woken \(late.receive() ?? 0)")
  case "main-reads":
    parkMany(10)
    print("woken \(readByte(lateByte()))")
  case "foreign-only":
    for _ in 0..<3 { startThread { waitForEver() } }
    ualarm(500_000, 0)
    waitForEver()
  case "threads-come-and-go":
    // Each of them ends while others wait: the moment in which a report could be wrong.
    for _ in 0..<count {
      let late = Channel<Int>()
      startThread { startThread { late.send(1) } }
      _ = late.receive()
    }
    print("done")
  case "dump":
    variety()
    print(Runtime.dump())
  case "dump-many":
    parkMany(count)
    let text = Runtime.dump()
    print(text.utf8.split(separator: 10).filter { $0.starts(with: "goroutine ".utf8) }.count)
  case "dump-current":
    variety()
    print(Runtime.dump(all: false))
  case "dump-foreign":
    let text = Channel<String>()
    startThread { text.send(Runtime.dump()) }
    print(text.receive() ?? "")
  case "panic-with-others":
    variety()
    let channel = Channel<Int>()
    channel.close()
    channel.close()
  case "negative-wait-group":
    WaitGroup().done()
  case "statistics":
    parkMany(count)
    let figures = Runtime.schedulerStatistics
    print(figures.goroutines, figures.systemGoroutines, figures.processors == Runtime.maxProcs)
    print(figures.switches >= UInt64(count), figures.threads >= 1, figures.worstStopTheWorld == .zero)
    _ = Runtime.dump()
    print(Runtime.schedulerStatistics.worstStopTheWorld > .zero)
  default:
    return false
  }
  return true
}
