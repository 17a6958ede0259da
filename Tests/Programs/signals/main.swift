// Programs that are told of signals, each in a process of its own: one scenario a run, named by the first argument.
import Apus
import ApusNet
import Glibc

import struct Synchronization.Atomic

/// Sends `signal` to this process.
func raiseSignal(_ signal: Int32) {
  kill(getpid(), signal)
}

/// Whether `signal` arrives within ten seconds.
func arrives(_ signal: Int32, on channel: Channel<Int32>) -> Bool {
  switch select(channel.receiving, .after(.seconds(10))) {
  case .first(let received): received == signal
  case .second: false
  }
}

/// Whether nothing arrives for a tenth of a second.
func staysEmpty(_ channel: Channel<Int32>) -> Bool {
  switch select(channel.receiving, .after(.milliseconds(100))) {
  case .first: false
  case .second: true
  }
}

let scenario = CommandLine.arguments.dropFirst().first ?? ""
switch scenario {
case "notify":
  let channel = Signals.notify([SIGHUP, SIGTERM])
  raiseSignal(SIGHUP)
  let first = arrives(SIGHUP, on: channel)
  raiseSignal(SIGTERM)
  print(first, arrives(SIGTERM, on: channel), staysEmpty(channel))
case "wakes-main":
  // Main alone waits, and the signal comes from outside: a timer of the kernel's.
  let channel = Signals.notify([SIGALRM])
  ualarm(100_000, 0)
  print(channel.receive() ?? 0)
case "stop":
  // The default is back: the signal ends the process.
  let channel = Signals.notify([SIGTERM])
  raiseSignal(SIGTERM)
  print(arrives(SIGTERM, on: channel))
  fflush(nil)
  Signals.stop(channel)
  Signals.stop(channel)
  raiseSignal(SIGTERM)
  sleep(10)
case "stop-restores-a-handler":
  exitBySignal(SIGUSR1)
  let channel = Signals.notify([SIGUSR1])
  raiseSignal(SIGUSR1)
  print(arrives(SIGUSR1, on: channel))
  fflush(nil)
  Signals.stop(channel)
  raiseSignal(SIGUSR1)
  sleep(10)
case "quit":
  // The channel's while there is one, and then it asks for a report again.
  let channel = Signals.notify([SIGQUIT])
  raiseSignal(SIGQUIT)
  print(arrives(SIGQUIT, on: channel))
  fflush(nil)
  Signals.stop(channel)
  raiseSignal(SIGQUIT)
  sleep(10)
case "stop-restores-ignoring":
  signal(SIGUSR1, SIG_IGN)
  let channel = Signals.notify([SIGUSR1])
  raiseSignal(SIGUSR1)
  let arrived = arrives(SIGUSR1, on: channel)
  Signals.stop(channel)
  raiseSignal(SIGUSR1)
  print(arrived, staysEmpty(channel))
case "shared":
  let (one, both) = (Signals.notify([SIGUSR1]), Signals.notify([SIGUSR1, SIGUSR2]))
  raiseSignal(SIGUSR1)
  let shared = arrives(SIGUSR1, on: one) && arrives(SIGUSR1, on: both)
  raiseSignal(SIGUSR2)
  let own = arrives(SIGUSR2, on: both) && staysEmpty(one)
  Signals.stop(one)
  raiseSignal(SIGUSR1)
  print(shared, own, arrives(SIGUSR1, on: both), staysEmpty(one))
case "bursts":
  // Of each kind at least one, however many came of another, and not one too many once all are received.
  let channel = Signals.notify([SIGUSR1, SIGUSR2, SIGHUP])
  var wrong = 0
  for _ in 0..<200 {
    for _ in 0..<50 { raiseSignal(SIGUSR1) }
    raiseSignal(SIGUSR2)
    for _ in 0..<50 { raiseSignal(SIGUSR1) }
    raiseSignal(SIGHUP)
    var seen: Set<Int32> = []
    while seen.count < 3 {
      switch select(channel.receiving, .after(.seconds(10))) {
      case .first(let signal?): seen.insert(signal)
      case .first(nil), .second:
        wrong += 1
        seen = [1, 2, 3]
      }
    }
    // Late ones of the burst may still come.
    Goroutine.sleep(for: .milliseconds(1))
    while case .element = channel.tryReceive() {}
  }
  print("wrong", wrong)
case "atomic-stop":
  // Signal and stop at the same time: either the channel gets it, or the handler of before. A round ends when its signal
  // has come: two of a kind that are pending are one for the kernel, and nobody could tell which was lost.
  countSignals(SIGUSR1)
  var (received, counted, lost) = (0, 0, 0)
  for round in 0..<500 where lost == 0 {
    let channel = Signals.notify([SIGUSR1])
    let sender = WaitGroup()
    sender.go { raiseSignal(SIGUSR1) }
    // The sender comes after the stop, before it, or somewhere near.
    switch round % 3 {
    case 0: break
    case 1: Goroutine.yield()
    default: compute(microseconds: round % 100)
    }
    Signals.stop(channel)
    sender.wait()
    if case .element = channel.tryReceive() {
      received += 1
    } else if comesToCount(counted + 1) {
      counted += 1
    } else {
      lost += 1
    }
  }
  print("lost", lost, countedSignals() == counted && received + counted + lost == 500)
case "late-handler":
  // The thread that was given the signal runs the handler only after the stop: the signal does what it did before, there.
  countSignals(SIGUSR1)
  let channel = Signals.notify([SIGUSR1])
  let runLate = lateHandler(of: SIGUSR1)
  Signals.stop(channel)
  print(runLate(), staysEmpty(channel))
case "no-deadlock":
  // Nobody but the kernel can wake main, and it may.
  let channel = Signals.notify([SIGUSR1])
  ualarm(500_000, 0)
  _ = channel.receive()
case "deadlock-after-stop":
  let channel = Signals.notify([SIGUSR1])
  Signals.stop(channel)
  _ = channel.receive()
case "counts":
  let before = Runtime.goroutineCount
  let others = Runtime.schedulerStatistics.systemGoroutines
  let channel = Signals.notify([SIGUSR1])
  raiseSignal(SIGUSR1)
  _ = channel.receive()
  let figures = Runtime.schedulerStatistics
  print(Runtime.goroutineCount - before, figures.systemGoroutines - others)
  Signals.stop(channel)
  while Runtime.schedulerStatistics.systemGoroutines > others { Goroutine.sleep(for: .milliseconds(1)) }
  print(Runtime.goroutineCount - before)
case "close":
  Signals.notify([SIGUSR1]).close()
case "refused":
  _ = Signals.notify([Int32(CommandLine.arguments[2])!])
  print("not refused")
case "empty":
  let channel = Signals.notify([])
  Signals.stop(channel)
  print(channel.capacity, staysEmpty(channel))
case "broken-pipe":
  // A pipe of ours that nobody reads is an error of the write, before and after somebody was told of SIGPIPE, and
  // meanwhile both.
  func breakPipe() -> Bool {
    guard let (reader, writer) = try? DescriptorStream.pipe() else { return false }
    reader.close()
    do {
      try writer.write([1] as [UInt8])
      return false
    } catch {
      return (error as? NetError)?.kind == .reset
    }
  }
  let before = breakPipe()
  let channel = Signals.notify([SIGPIPE])
  let meanwhile = breakPipe() && arrives(SIGPIPE, on: channel)
  Signals.stop(channel)
  print(before, meanwhile, breakPipe())
  fflush(nil)
  // Everybody else's still ends the process.
  var ends: [Int32] = [0, 0]
  pipe(&ends)
  close(ends[0])
  write(ends[1], "x", 1)
  print("alive")
case "broken-pipe-while-notified":
  // The first pipe of ours is made while somebody else has the signal.
  let channel = Signals.notify([SIGPIPE])
  let (reader, writer) = try DescriptorStream.pipe()
  Signals.stop(channel)
  reader.close()
  do {
    try writer.write([1] as [UInt8])
  } catch {
    print(error)
  }
case "broken-pipe-while-stopping":
  // The first pipes of ours are made while somebody else has the signal, and writes to them fail while it goes.
  let channel = Signals.notify([SIGPIPE])
  let isOver = Atomic<Bool>(false)
  let attempts = Atomic<Int>(0)
  let group = WaitGroup()
  for _ in 0..<4 {
    let (reader, writer) = try DescriptorStream.pipe()
    reader.close()
    group.go {
      while !isOver.load(ordering: .relaxed) {
        if (try? writer.write([1] as [UInt8])) != nil { fatalError("written") }
        attempts.wrappingAdd(1, ordering: .relaxed)
      }
    }
  }
  while attempts.load(ordering: .relaxed) < 100 { Goroutine.yield() }
  Signals.stop(channel)
  isOver.store(true, ordering: .relaxed)
  group.wait()
  print("alive")
default:
  print("unknown scenario: \(scenario)")
  exit(64)
}
