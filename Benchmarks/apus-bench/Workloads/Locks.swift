import Apus

import struct Synchronization.Atomic

/// Eight goroutines that count up one number under a mutex, `-n` times each; an operation is one locking.
func mutex(_ options: Options) {
  let size = options.size ?? 1_000_000
  let counter = Mutex(0)
  let group = WaitGroup()
  let start = nanoseconds()
  for _ in 0..<8 {
    group.add()
    go {
      for _ in 0..<size { counter.withLock { $0 += 1 } }
      group.done()
    }
  }
  group.wait()
  let duration = nanoseconds() - start
  precondition(counter.withLock { $0 } == 8 * size, "mutex: a count is missing")
  report("mutex", options, size: size, duration: duration, operations: 8 * size)
}

/// Eight goroutines that read a number under a read-write mutex nine times out of ten and count it up the tenth time,
/// `-n` times each; an operation is one locking.
func rwMutex(_ options: Options) {
  let size = options.size ?? 1_000_000
  let counter = RWMutex(0)
  let tally = ReadTally()
  let group = WaitGroup()
  let start = nanoseconds()
  for _ in 0..<8 {
    group.add()
    go {
      var reads = 0
      for number in 0..<size {
        if number % 10 == 9 {
          counter.withWriteLock { $0 += 1 }
        } else if counter.withReadLock({ $0 >= 0 }) {
          reads += 1
        }
      }
      tally.reads.wrappingAdd(reads, ordering: .relaxed)
      group.done()
    }
  }
  group.wait()
  let duration = nanoseconds() - start
  precondition(counter.withReadLock { $0 } == 8 * (size / 10), "rwmutex: a count is missing")
  precondition(tally.reads.load(ordering: .relaxed) == 8 * (size - size / 10), "rwmutex: a read is missing")
  report("rwmutex", options, size: size, duration: duration, operations: 8 * size)
}

/// The reads that the goroutines of `rwmutex` have counted together.
private final class ReadTally: Sendable {
  let reads = Atomic<Int>(0)
}
