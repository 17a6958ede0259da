import Apus
import ApusRuntime
import CApus
import Glibc

/// A pipe; its reading end is known to the poller.
struct Pipe: @unchecked Sendable {
  // Unchecked: the record has a lock of its own.
  let reader: Int32
  let writer: Int32
  let record: PollDescriptorRef

  init() {
    var ends: [Int32] = [-1, -1]
    guard apus_pipe(&ends) == 0, let record = Netpoll.open(ends[0]).0 else { fatalError("no pipe") }
    (reader, writer) = (ends[0], ends[1])
    self.record = record
  }

  func feed() {
    var byte: UInt8 = 1
    if write(writer, &byte, 1) != 1 { fatalError("the pipe takes nothing") }
  }

  func detach() {
    record.beginClosing()
    Netpoll.close(record)
  }
}

nonisolated(unsafe) private var alarmPipe: Int32 = -1

/// Has a byte written into `pipe` after a fifth of a second, by a signal handler: no thread is needed for it.
private func feedLate(_ pipe: Pipe) {
  alarmPipe = pipe.writer
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { _ in
    var byte: UInt8 = 42
    write(alarmPipe, &byte, 1)
  }
  action.sa_flags = SA_RESTART
  sigaction(SIGALRM, &action, nil)
  ualarm(200_000, 0)
}

private func startThread(_ body: @escaping @Sendable () -> Void) {
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

/// Where goroutines wait for descriptors and nobody else is there to help: who polls, and what the deadlock detector says.
func runPollerScenario(_ name: String) -> Bool {
  switch name {
  case "waits-for-ever":
    // No deadlock: whoever has the other end may write. The signal ends the process.
    ualarm(500_000, 0)
    print(Pipe().record.wait(.read))
  case "waits-for-a-signal-handler":
    let pipe = Pipe()
    feedLate(pipe)
    print(pipe.record.wait(.read))
  case "locked-waits":
    Goroutine.lockToThread()
    let pipe = Pipe()
    feedLate(pipe)
    print(pipe.record.wait(.read))
  case "foreign-waits":
    let outcomes = Channel<PollOutcome>()
    let pipe = Pipe()
    startThread {
      feedLate(pipe)
      outcomes.send(pipe.record.wait(.read))
    }
    print(outcomes.receive()!)
  case "deadlock-after-waiting":
    // The thread that waited in the poller has nothing to wait for any more.
    let pipe = Pipe()
    let outcomes = Channel<PollOutcome>()
    go { outcomes.send(pipe.record.wait(.read)) }
    // Main keeps its processor: another thread takes the goroutine and then waits in the poller.
    usleep(100_000)
    pipe.detach()
    print(outcomes.receive()!)
    fflush(nil)
    _ = outcomes.receive()
  case "deadlock-with-open-descriptors":
    let pipe = Pipe()
    _ = Channel<Int>().receive()
    pipe.detach()
  case "poller-begins":
    // A thread waits for the clock before there is a poller.
    go { Goroutine.sleep(for: .seconds(60)) }
    usleep(100_000)
    let pipe = Pipe()
    feedLate(pipe)
    print(pipe.record.wait(.read))
  case "timer-interrupts":
    // A thread that is not the runtime's arms a timer while the only idle one waits in the poller.
    startThread {
      usleep(100_000)
      Goroutine.after(.milliseconds(1)) {
        print("ready")
        exit(0)
      }
      sleep(60)
    }
    print(Pipe().record.wait(.read))
  case "busy-yields":
    // The only processor always finds the goroutine that yields.
    let pipe = Pipe()
    let outcomes = Channel<PollOutcome>(capacity: 1)
    go { outcomes.send(pipe.record.wait(.read)) }
    Goroutine.yield()
    pipe.feed()
    while outcomes.count == 0 { Goroutine.yield() }
    print(outcomes.receive()!)
  case "busy-switches":
    // Goroutines that hand each other a value switch directly, past the scheduler's loop.
    let pipe = Pipe()
    let outcomes = Channel<PollOutcome>(capacity: 1)
    go { outcomes.send(pipe.record.wait(.read)) }
    let (there, back) = (Channel<Int>(), Channel<Int>())
    go { while let value = there.receive() { back.send(value) } }
    Goroutine.yield()
    pipe.feed()
    while outcomes.count == 0 {
      there.send(1)
      _ = back.receive()
    }
    print(outcomes.receive()!)
  case "monitor-polls":
    // On one processor, without giving it away: nobody else polls in between.
    let pipe = Pipe()
    let outcomes = Channel<PollOutcome>(capacity: 1)
    go { outcomes.send(pipe.record.wait(.read)) }
    Goroutine.yield()
    func look(_ limit: Int64) -> Int {
      let m = acquireM()
      defer { releaseM(m) }
      return Netpoll.pollIfStale(Clock.nanotime(), limit, on: m)
    }
    Netpoll.checkIfStale(on: currentM())
    pipe.feed()
    print(look(1 << 60), look(0), outcomes.receive()!)
  case "harvested-by-the-monitor":
    // The monitor finds the event, since main computes and nobody else polls, just when main begins to wait: the goroutine
    // is in its hand, and must not be taken for one that will never run.
    for round in 0..<2000 {
      let pipe = Pipe()
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      Goroutine.yield()
      pipe.feed()
      let end = ContinuousClock.now + .microseconds(900 + round % 40 * 10)
      while ContinuousClock.now < end {}
      guard outcomes.receive() == .ready else { fatalError("no event") }
      pipe.detach()
      close(pipe.reader)
      close(pipe.writer)
    }
    print("all")
  default:
    return false
  }
  return true
}
