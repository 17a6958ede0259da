// Goroutines that compute without a scheduling point.
import Apus
import Glibc

import struct Synchronization.Atomic

/// Nanoseconds on the monotonic clock.
func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The CPU time of the calling thread: a goroutine that is stopped keeps its thread.
func cpuNanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Computes for so much CPU time. The result keeps an optimizer from leaving it out.
@discardableResult
@inline(never)
func compute(nanoseconds: Int) -> UInt64 {
  let end = cpuNanoseconds() + nanoseconds
  var number: UInt64 = 88_172_645_463_325_252
  while cpuNanoseconds() < end {
    for _ in 0..<1000 {
      number ^= number << 13
      number ^= number >> 7
      number ^= number << 17
    }
  }
  return number
}

/// Computes for ever.
func computeForEver() {
  while true { compute(nanoseconds: 1_000_000_000) }
}

/// A value of `/proc/self/status`.
func processStatus(_ name: String) -> Int {
  guard let file = fopen("/proc/self/status", "r") else { return -1 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, 256, file) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if text.hasPrefix(name + ":") {
      return Int(text.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? -1
    }
  }
  return -1
}

/// A goroutine that wants its turn each millisecond, and notes how late it came.
final class Ticker: Sendable {
  private let ticks = Atomic<Int>(0)
  private let worst = Atomic<Int>(0)
  private let isOver = Atomic<Bool>(false)
  private let ended = WaitGroup()

  init() {
    ended.go { [self] in
      while !isOver.load(ordering: .relaxed) {
        let due = nanoseconds() + 1_000_000
        Goroutine.sleep(for: .milliseconds(1))
        worst.max(nanoseconds() - due, ordering: .relaxed)
        ticks.wrappingAdd(1, ordering: .relaxed)
      }
    }
  }

  /// Ends it: how often it came to its turn, and the longest time by which it was late, in milliseconds.
  func stop() -> (ticks: Int, late: Int) {
    isOver.store(true, ordering: .relaxed)
    ended.wait()
    return (ticks.load(ordering: .relaxed), worst.load(ordering: .relaxed) / 1_000_000)
  }
}

/// main sleeps while a goroutine computes for ever.
func spin() {
  go { computeForEver() }
  Goroutine.sleep(for: .milliseconds(100))
  print("main goes on")
}

/// What goroutines count together.
final class Tally: Sendable {
  let count = Atomic<Int>(0)
  let largest = Atomic<Int>(0)
  let isOver = Atomic<Bool>(false)

  func add() { count.wrappingAdd(1, ordering: .relaxed) }
}

/// `count` goroutines of 4 ms each, beside a ticker: `ENDED THREADS TICKS LATE`: the largest number of threads seen, and the
/// longest time by which the ticker was late in hundredths of the whole.
func manyHogs(_ count: Int) {
  let began = nanoseconds()
  let ticker = Ticker()
  let tally = Tally()
  let watcher = WaitGroup()
  watcher.go {
    while !tally.isOver.load(ordering: .relaxed) {
      tally.largest.max(processStatus("Threads"), ordering: .relaxed)
      Goroutine.sleep(for: .milliseconds(5))
    }
  }
  let hogs = WaitGroup()
  for _ in 0..<count {
    hogs.go {
      compute(nanoseconds: 4_000_000)
      tally.add()
    }
  }
  hogs.wait()
  tally.isOver.store(true, ordering: .relaxed)
  watcher.wait()
  let (ticks, late) = ticker.stop()
  let share = late * 100_000_000 / (nanoseconds() - began)
  print(tally.count.load(ordering: .relaxed), tally.largest.load(ordering: .relaxed), ticks, share)
}

/// `count` goroutines of 4 ms each that all wait before they compute, and then are ready at once: `ENDED THREADS`.
func manyBegunHogs(_ count: Int) {
  let tally = Tally()
  let gate = Channel<Int>()
  let hogs = WaitGroup()
  for _ in 0..<count {
    hogs.go {
      _ = gate.receive()
      compute(nanoseconds: 4_000_000)
      tally.largest.max(Runtime.schedulerStatistics.threads, ordering: .relaxed)
      tally.add()
    }
  }
  Goroutine.sleep(for: .milliseconds(50))
  gate.close()
  hogs.wait()
  print(tally.count.load(ordering: .relaxed), tally.largest.load(ordering: .relaxed))
}

/// A goroutine sleeps and then computes for long, another one sleeps for longer than the first: the thread that waited for
/// the clock is busy then. Prints how late the second one was, in hundredths of the time for which the first computed.
func sleepBesideWaker() {
  let ended = Channel<Int>()
  let began = nanoseconds()
  let length = 500_000_000
  go {
    Goroutine.sleep(for: .milliseconds(20))
    let end = nanoseconds() + length
    while nanoseconds() < end {}
    ended.send(0)
  }
  go {
    Goroutine.sleep(for: .milliseconds(40))
    ended.send((nanoseconds() - began - 40_000_000) * 100 / length)
  }
  print(ended.receive()! + ended.receive()!)
}

/// Whose turn it is, and how often it was another's before.
final class Turns: Sendable {
  private let last = Atomic<Int>(0)
  let changes = Atomic<Int>(0)

  func take(_ number: Int) {
    if last.exchange(number, ordering: .relaxed) != number { changes.wrappingAdd(1, ordering: .relaxed) }
  }
}

/// Two goroutines compute beside a ticker, on one processor: `TICKS CHANGES HUNDREDTHS`: how often the ticker came to its turn,
/// how often the one came after the other, and the whole time in hundredths of a second.
func takeTurns(seconds: Double) {
  let began = nanoseconds()
  let ticker = Ticker()
  let turns = Turns()
  for hog in 0..<2 {
    go {
      while true {
        turns.take(hog)
        compute(nanoseconds: 20_000)
      }
    }
  }
  Goroutine.sleep(for: .seconds(seconds))
  let (ticks, _) = ticker.stop()
  print(ticks, turns.changes.load(ordering: .relaxed), (nanoseconds() - began) / 10_000_000)
}

/// Every processor has two goroutines that compute, for a while.
func computeOnEveryProcessor(seconds: Double) {
  for _ in 0..<2 * Runtime.maxProcs { go { computeForEver() } }
  Goroutine.sleep(for: .seconds(seconds))
  print("over")
}

/// `count` goroutines end with their threads; then time passes.
func endThreads(_ count: Int) {
  let group = WaitGroup()
  for _ in 0..<count { group.go { Goroutine.lockToThread() } }
  group.wait()
  Goroutine.sleep(for: .milliseconds(300))
}

/// A hog computes inside a mutex of the C library, and everybody else wants that mutex: on one processor it goes on only
/// if their sleep is seen.
func lockOfHog() {
  let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  pthread_mutex_init(mutex, nil)
  nonisolated(unsafe) let lock = mutex
  nonisolated(unsafe) var turns = 0
  let group = WaitGroup()
  for _ in 0..<8 {
    group.go {
      for _ in 0..<3 {
        pthread_mutex_lock(lock)
        let before = turns
        compute(nanoseconds: 15_000_000)
        turns = before + 1
        pthread_mutex_unlock(lock)
      }
    }
  }
  group.wait()
  print("turns", turns, "preemptions", Runtime.schedulerStatistics.preemptions > 0)
}

/// The same with the lock of malloc (MALLOC_ARENA_MAX=1 makes it one for all threads): hogs that do nothing but allocate
/// and release beside timers with functions, and threads that have to be created.
func mallocOfHog() {
  let group = WaitGroup()
  let end = nanoseconds() + 1_500_000_000
  let fired = Tally()
  for _ in 0..<4 {
    group.go {
      while nanoseconds() < end {
        var blocks: [UnsafeMutableRawPointer?] = []
        for size in 1...2000 { blocks.append(malloc(size)) }
        for block in blocks { free(block) }
      }
    }
  }
  for _ in 0..<4 {
    group.go {
      while nanoseconds() < end {
        let done = WaitGroup()
        for microseconds in 0..<20 {
          done.add()
          Goroutine.after(.microseconds(microseconds * 20)) {
            fired.add()
            done.done()
          }
        }
        done.wait()
        // A thread that sleeps: another one has to run its processor.
        usleep(500)
      }
    }
  }
  group.wait()
  print("over", fired.count.load(ordering: .relaxed) > 0)
}
