// Programs for another process to look into while they run: one scenario a run, named by the first argument. Each prints
// a line when everybody is where he is to be, and goes on until a byte comes from its standard input, or for ever.
import Apus
import ApusNet
import Glibc

import struct Synchronization.Atomic

/// Behind every wait, so that no wait is the last thing that a function does: those leave no frame.
@inline(never)
func afterwards() { write(1, "", 0) }

func sayReady() {
  write(1, "ready\n", 6)
}

func countOfWaiting() -> UInt64 {
  let waiting = Runtime.metrics.first { $0.name == "/sched/goroutines/waiting:goroutines" }
  if case .integer(let count)? = waiting?.value { return count }
  return 0
}

/// Reads one. libc keeps no frame pointers: in a dump this function may be missing, and its callers are not.
@inline(never)
func readByte(_ descriptor: CInt) {
  var byte: UInt8 = 0
  _ = read(descriptor, &byte, 1)
  afterwards()
}

/// Waits for a byte from outside.
@inline(never)
func waitForWord(after first: () -> Void = {}) {
  blocking {
    first()
    readByte(0)
  }
}

@inline(never)
func sleepLong() {
  Goroutine.sleep(for: .seconds(1000))
  afterwards()
}

@inline(never)
func receive(_ channel: Channel<Int>) {
  _ = channel.receive()
  afterwards()
}

final class Counters: Sendable {
  let started = Atomic<Int>(0)
  /// Takes what is computed, so that it is computed.
  let sink = Atomic<UInt64>(0)
}

/// Reads what never comes, in a region that is said to block.
@inline(never)
func readNothing(_ counters: Counters, _ descriptor: CInt) {
  blocking {
    counters.started.wrappingAdd(1, ordering: .relaxed)
    readByte(descriptor)
  }
  afterwards()
}

/// Computes for ever, without a scheduling point. It calls nothing that has no frame pointer, in no build.
@inline(never)
func compute(_ counters: Counters) {
  counters.started.wrappingAdd(1, ordering: .relaxed)
  var number: UInt64 = 88_172_645_463_325_252
  while true {
    var left = 10_000
    while left > 0 {
      number ^= number &<< 13
      number ^= number &>> 7
      number ^= number &<< 17
      left &-= 1
    }
    counters.sink.store(number, ordering: .relaxed)
  }
}

/// Takes memory and gives it back for ever: mostly it holds malloc's lock, or waits for it.
@inline(never)
func allocate(_ counters: Counters) {
  counters.started.wrappingAdd(1, ordering: .relaxed)
  var arrays: [[UInt8]] = []
  while true {
    arrays.append([UInt8](repeating: 1, count: 1 << (arrays.count % 14)))
    if arrays.count == 100 { arrays.removeAll() }
  }
}

/// Twice as many goroutines as there are processors, none of which ever waits.
func keepBusy(_ body: @escaping @Sendable (Counters) -> Void) {
  let counters = Counters()
  let count = 2 * Runtime.maxProcs
  for _ in 0..<count { go { body(counters) } }
  while counters.started.load(ordering: .relaxed) < count { Goroutine.yield() }
}

/// Gives way for ever, and has done so often.
@inline(never)
func giveWay(_ counters: Counters) {
  for _ in 0..<50_000 { Goroutine.yield() }
  counters.started.wrappingAdd(1, ordering: .relaxed)
  while true { Goroutine.yield() }
}

@inline(never)
func accept(_ listener: TCPListener) {
  _ = try? listener.accept()
  afterwards()
}

let channel = Channel<Int>()
switch CommandLine.arguments.dropFirst().first ?? "" {
case "sleeps":
  for _ in 0..<3 { go { receive(channel) } }
  while countOfWaiting() < 3 { Goroutine.yield() }
  sayReady()
  sleepLong()
case "many":
  let count = Int(CommandLine.arguments.dropFirst(2).first ?? "") ?? 100_000
  for _ in 0..<count { go { receive(channel) } }
  while countOfWaiting() < count { Goroutine.yield() }
  sayReady()
  sleepLong()
case "computes":
  keepBusy(compute)
  sayReady()
  sleepLong()
case "allocates":
  keepBusy(allocate)
  sayReady()
  sleepLong()
case "yields":
  keepBusy(giveWay)
  sayReady()
  sleepLong()
case "listens":
  let listener = try TCPListener(port: 0)
  go { accept(listener) }
  while countOfWaiting() < 1 { Goroutine.yield() }
  sayReady()
  receive(channel)
case "blocks":
  var ends: [CInt] = [-1, -1]
  guard pipe(&ends) == 0 else { exit(1) }
  let (counters, end) = (Counters(), ends[0])
  for _ in 0..<3 { go { readNothing(counters, end) } }
  while counters.started.load(ordering: .relaxed) < 3 { Goroutine.yield() }
  waitForWord(after: sayReady)
  exit(7)
case "deadlocks":
  sayReady()
  waitForWord()
  receive(channel)
case "as-nobody":
  runAsNobody(Array(CommandLine.arguments.dropFirst(2)))
case "asks", "asks-as-nobody":
  guard let process = CommandLine.arguments.dropFirst(2).first.flatMap({ pid_t($0) }) else { exit(64) }
  ask(process, listensAsNobody: CommandLine.arguments[1] == "asks-as-nobody")
case "exits":
  sayReady()
  waitForWord()
  exit(7)
case let scenario:
  print("unknown scenario: \(scenario)")
  exit(64)
}
