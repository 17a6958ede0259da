import Apus
import Glibc

import struct Synchronization.Atomic

/// Nanoseconds on the monotonic clock.
func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The ends of a new pipe.
func makePipe() -> (reading: CInt, writing: CInt) {
  var ends: [CInt] = [0, 0]
  guard pipe(&ends) == 0 else { fatalError("no pipe: error \(errno)") }
  return (ends[0], ends[1])
}

@inline(never)
func readByte(_ descriptor: CInt) -> UInt8 {
  var byte: UInt8 = 0
  return read(descriptor, &byte, 1) == 1 ? byte : 0
}

@inline(never)
func readTold(_ descriptor: CInt) -> UInt8 { blocking { readByte(descriptor) } }

/// A goroutine waits in `read` until others, for which it has to lose its processor, have run for a while.
func readBesideOthers(isTold: Bool) {
  let (reading, writing) = makePipe()
  let got = Channel<UInt8>()
  go { got.send(isTold ? readTold(reading) : readByte(reading)) }
  let end = nanoseconds() + 50_000_000
  while nanoseconds() < end {
    passNumbers(10)
    Goroutine.sleep(for: .microseconds(100))
  }
  var byte: UInt8 = 42
  write(writing, &byte, 1)
  print("read \(got.receive() ?? 0)")
}

/// Computes until then, without a scheduling point.
@inline(never)
func compute(until end: Int) {
  var number: UInt64 = 88_172_645_463_325_252
  while nanoseconds() < end {
    for _ in 0..<1000 {
      number ^= number << 13
      number ^= number >> 7
      number ^= number << 17
    }
  }
  if number == 0 { print("never") }
}

/// Twice as many goroutines compute as there are processors, beside one that wakes up each millisecond.
func computeBesideOthers() {
  let group = WaitGroup()
  let end = nanoseconds() + 300_000_000
  for _ in 0..<2 * Runtime.maxProcs { group.go { compute(until: end) } }
  group.go {
    while nanoseconds() < end { Goroutine.sleep(for: .milliseconds(1)) }
  }
  group.wait()
}

/// Threads that are not the runtime's send, receive and start goroutines.
func useFromThreads() {
  let (numbers, answers) = (Channel<Int>(), Channel<Int>())
  var threads: [pthread_t] = []
  for _ in 0..<4 {
    var thread = pthread_t()
    let both = Unmanaged.passRetained(Pair(numbers, answers)).toOpaque()
    pthread_create(
      &thread, nil,
      { argument in
        let pair = Unmanaged<Pair>.fromOpaque(argument!).takeRetainedValue()
        for number in 0..<100 {
          go { [numbers = pair.numbers] in bySpawnedFromThread(numbers, number) }
          _ = pair.answers.receive()
        }
        return nil
      }, both)
    threads.append(thread)
  }
  for _ in 0..<400 { answers.send(numbers.receive() ?? 0) }
  // Not by the thread itself: the goroutine would keep its processor meanwhile.
  for thread in threads { blocking { _ = pthread_join(thread, nil) } }
}

@inline(never)
func bySpawnedFromThread(_ numbers: Channel<Int>, _ number: Int) { numbers.send(number) }

final class Pair: Sendable {
  let numbers: Channel<Int>
  let answers: Channel<Int>

  init(_ numbers: Channel<Int>, _ answers: Channel<Int>) {
    self.numbers = numbers
    self.answers = answers
  }
}

/// Regions that were said to block, in which goroutines are spawned, waited for and made ready.
func useTheRuntimeInRegions() {
  let numbers = Channel<Int>()
  let group = WaitGroup()
  for _ in 0..<8 {
    group.go {
      for _ in 0..<50 {
        blocking {
          usleep(100)
          go { numbers.send(1) }
          _ = numbers.receive()
          usleep(100)
        }
      }
    }
  }
  group.wait()
}

/// The number of processors changes while goroutines compute and pass numbers.
func changeProcessors() {
  let isOver = Flag()
  let group = WaitGroup()
  let end = nanoseconds() + 200_000_000
  for _ in 0..<4 { group.go { compute(until: end) } }
  group.go { while !isOver.value.load(ordering: .relaxed) { passNumbers(100) } }
  for count in [4, 1, 3, 2, 8, 1, 2] {
    Runtime.maxProcs = count
    Goroutine.sleep(for: .milliseconds(15))
  }
  isOver.value.store(true, ordering: .relaxed)
  group.wait()
}

final class Flag: Sendable {
  let value = Atomic<Bool>(false)
}

/// Starts a child process that leaves by `exit`, as a shell's would.
func forkAndExit() -> pid_t {
  // Swift does not offer `fork`, which is seldom safe; a child that only exits is.
  typealias Fork = @convention(c) () -> pid_t
  let fork = unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
  let child = fork()
  if child == 0 { exit(3) }
  return child
}
