// Goroutines that sleep in the kernel.
import Apus
import Glibc

import struct Synchronization.Atomic

/// The ends of a new pipe.
func makePipe() -> (reading: CInt, writing: CInt) {
  var ends: [CInt] = [0, 0]
  guard pipe(&ends) == 0 else { fatalError("no pipe: error \(errno)") }
  return (ends[0], ends[1])
}

/// One byte from a descriptor, nil at the end.
func readByte(_ descriptor: CInt) -> UInt8? {
  var byte: UInt8 = 0
  return read(descriptor, &byte, 1) == 1 ? byte : nil
}

/// A goroutine waits in `read`, where the byte comes from another goroutine, after others have run for a while.
func readBesideOthers(isTold: Bool) {
  let (reading, writing) = makePipe()
  let tally = Tally()
  let got = Channel<UInt8?>()
  go {
    tally.isOver.store(true, ordering: .relaxed)
    got.send(isTold ? blocking { readByte(reading) } : readByte(reading))
  }
  while !tally.isOver.load(ordering: .relaxed) { Goroutine.yield() }
  // It is this goroutine's turn again only if the reader has lost its processor, or has not come to its call yet.
  let (requests, answers) = (Channel<Int>(), Channel<Int>())
  go { while let request = requests.receive() { answers.send(request + 1) } }
  let end = nanoseconds() + 50_000_000
  var rounds = 0
  while nanoseconds() < end {
    requests.send(rounds)
    rounds = answers.receive()!
    Goroutine.sleep(for: .microseconds(100))
  }
  var byte: UInt8 = 42
  write(writing, &byte, 1)
  print("others ran", rounds > 0, "read", got.receive()! ?? 0)
  let statistics = Runtime.schedulerStatistics
  print("told", statistics.syscallRetakes > 0, "untold", statistics.untoldBlocks > 0)
}

/// `count` goroutines sleep at once, each on a thread of its own; then the threads become few again: the largest number,
/// the last, and after how many milliseconds that was reached.
func burst(_ count: Int) {
  let group = WaitGroup()
  let (reading, writing) = makePipe()
  for _ in 0..<count { group.go { _ = readByte(reading) } }
  var largest = 0
  let begin = nanoseconds()
  while largest <= count && nanoseconds() - begin < 20_000_000_000 {
    Goroutine.sleep(for: .milliseconds(20))
    largest = processStatus("Threads")
  }
  for _ in 0..<count { write(writing, "x", 1) }
  group.wait()
  let start = nanoseconds()
  while processStatus("Threads") > Runtime.maxProcs + 4 && nanoseconds() - start < 20_000_000_000 {
    Goroutine.sleep(for: .milliseconds(100))
  }
  print(largest, processStatus("Threads"), (nanoseconds() - start) / 1_000_000)
  // They are still of use.
  for _ in 0..<count { group.go { usleep(1000) } }
  group.wait()
}

/// Says that it is ready, past all buffers: who reads it looks at this process then.
private func sayReady() { write(STDOUT_FILENO, "ready\n", 6) }

/// main sleeps in `read` of the standard input.
func idleInRead() {
  go { _ = Channel<Int>().receive() }
  sayReady()
  _ = readByte(STDIN_FILENO)
}

/// main waits on a channel for what a goroutine reads from the standard input.
func idleOnChannel() {
  let bytes = Channel<UInt8?>()
  go { bytes.send(readByte(STDIN_FILENO)) }
  sayReady()
  _ = bytes.receive()
}

/// Processors come and go and dumps are made, while goroutines compute on every processor and others sleep in the kernel.
func stopWorldAgainAndAgain() {
  let (reading, writing) = makePipe()
  let asleep = WaitGroup()
  for number in 0..<6 {
    asleep.go {
      // Half of them told.
      _ = number % 2 == 0 ? readByte(reading) : blocking { readByte(reading) }
    }
  }
  for _ in 0..<2 * Runtime.maxProcs { go { computeForEver() } }
  Goroutine.sleep(for: .milliseconds(20))
  let before = Runtime.maxProcs
  var longest = 0
  var dumped = 0
  for round in 0..<20 {
    let start = nanoseconds()
    Runtime.maxProcs = before + 1 + round % 3
    let text = Runtime.dump()
    longest = max(longest, nanoseconds() - start)
    // main, those that read, and the hogs.
    let goroutines = text.split(separator: "\n").filter { $0.hasPrefix("goroutine ") }.count
    if goroutines == 1 + 6 + 2 * before && text.contains("goroutine 1 [running]") { dumped += 1 }
  }
  Runtime.maxProcs = before
  close(writing)
  asleep.wait()
  let worst = Runtime.schedulerStatistics.worstStopTheWorld
  print("dumped", dumped, "longest", longest / 1_000_000, "worst", worst > .zero && worst < .seconds(2))
}

/// What the statistics count, each made to happen.
func growStatistics() {
  let start = Runtime.schedulerStatistics
  for _ in 0..<2 * Runtime.maxProcs + 1 { go { computeForEver() } }
  var mostStopped = 0
  for _ in 0..<20 {
    Goroutine.sleep(for: .milliseconds(5))
    mostStopped = max(mostStopped, Runtime.schedulerStatistics.preemptedThreads)
  }
  let computed = Runtime.schedulerStatistics
  print("preemptions", computed.preemptions > start.preemptions, "stopped", mostStopped > 0)
  for _ in 0..<10 { usleep(5000) }
  let slept = Runtime.schedulerStatistics
  print("untold", slept.untoldBlocks > start.untoldBlocks)
  for _ in 0..<10 { _ = blocking { usleep(5000) } }
  print("told", Runtime.schedulerStatistics.syscallRetakes > slept.syscallRetakes)
}

/// Goroutines wait until times of one clock, armed in another order; prints the order in which they come. All wait before
/// the first time, even if their thread is late.
func waitInOrder(byTimer: Bool) {
  let ready = WaitGroup()
  let (start, woken) = (Channel<ContinuousClock.Instant>(capacity: 8), Channel<Int>(capacity: 8))
  for index in [5, 1, 7, 3, 6, 2, 8, 4] {
    ready.add()
    go {
      ready.done()
      let time = start.receive()! + .milliseconds(index)
      if byTimer {
        _ = Goroutine.after(time - .now).receive()
      } else {
        Goroutine.sleep(until: time)
      }
      woken.send(index)
    }
  }
  ready.wait()
  let first = ContinuousClock.now + .seconds(1)
  for _ in 0..<8 { start.send(first) }
  print((0..<8).map { _ in String(woken.receive()!) }.joined(separator: " "))
}
