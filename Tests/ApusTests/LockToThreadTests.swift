import Apus
import ApusRuntime
import CApus
import Glibc
import Testing

@Suite struct LockToThreadTests {
  private static func thread() -> Int32 { apus_gettid() }

  /// The thread is the same after every kind of wait, and nobody else runs on it meanwhile.
  @Test func theThreadStaysAcrossWaits() {
    let (same, alone) = onGoroutine {
      let (there, back) = (Channel<Int>(), Channel<Int32>())
      go { there.forEach { _ in back.send(Self.thread()) } }
      Goroutine.lockToThread()
      let mine = Self.thread()
      var (same, alone) = (true, true)
      for number in 0..<50 {
        there.send(number)
        if back.receive() == mine { alone = false }
        if Self.thread() != mine { same = false }
        Goroutine.yield()
        if Self.thread() != mine { same = false }
      }
      there.close()
      Goroutine.unlockFromThread()
      return (same, alone)
    }
    #expect(same)
    #expect(alone)
  }

  /// Several locked goroutines at once, more than there are processors.
  @Test func manyAreLockedAtOnce() {
    let (stayed, threads) = onGoroutine {
      let results = Channel<(Bool, Int32)>(capacity: 20)
      let (all, gate) = (WaitGroup(), Channel<Int>())
      all.add(20)
      for _ in 0..<20 {
        go {
          Goroutine.lockToThread()
          let mine = Self.thread()
          all.done()
          _ = gate.receive()
          results.send((mine == Self.thread(), mine))
          Goroutine.unlockFromThread()
        }
      }
      all.wait()
      gate.close()
      let every = (0..<20).map { _ in results.receive()! }
      return (every.allSatisfy { $0.0 }, Set(every.map { $0.1 }).count)
    }
    #expect(stayed)
    #expect(threads == 20)
  }

  /// One processor: without the lock, the partner would run on this goroutine's thread.
  @Test func locksAreCounted() async {
    await #expect(processExitsWith: .success) {
      Runtime.maxProcs = 1
      let (same, alone) = onGoroutine {
        let (there, back) = (Channel<Int>(), Channel<Int32>())
        go { there.forEach { _ in back.send(Self.thread()) } }
        // Without a lock it does nothing.
        Goroutine.unlockFromThread()
        for _ in 0..<3 { Goroutine.lockToThread() }
        for _ in 0..<2 { Goroutine.unlockFromThread() }
        let mine = Self.thread()
        var (same, alone) = (true, true)
        for number in 0..<50 {
          there.send(number)
          if back.receive() == mine { alone = false }
          if Self.thread() != mine { same = false }
        }
        Goroutine.unlockFromThread()
        there.close()
        return (same, alone)
      }
      precondition(same && alone)
    }
  }

  /// Two goroutines and one processor: the one that was unlocked runs on the other's thread again.
  @Test func unlockingFreesTheThread() async {
    await #expect(processExitsWith: .success) {
      Runtime.maxProcs = 1
      Slices.setAll(3_600_000_000_000)
      let shared = onGoroutine {
        Goroutine.lockToThread()
        Goroutine.unlockFromThread()
        let mine = Self.thread()
        let other = Channel<Int32>()
        go { other.send(Self.thread()) }
        return other.receive() == mine
      }
      precondition(shared)
    }
  }

  @Test func aGoroutineThatEndsLockedEndsItsThread() {
    // The first thread of the process never ends: one of several locked goroutines is not on it.
    let gone = onGoroutine {
      let (all, gate) = (WaitGroup(), Channel<Int>())
      let threads = Channel<Int32>(capacity: 3)
      all.add(3)
      for _ in 0..<3 {
        go {
          Goroutine.lockToThread()
          threads.send(Self.thread())
          all.done()
          _ = gate.receive()
        }
      }
      all.wait()
      gate.close()
      let ended = (0..<3).map { _ in threads.receive()! }.filter { $0 != getpid() }
      return !ended.isEmpty && eventually { ended.allSatisfy { access("/proc/self/task/\($0)", F_OK) != 0 } }
    }
    #expect(gone)
  }

  /// Their records are used again.
  @Test func endedThreadsLeaveNothingBehind() {
    let before = threadRecordCount()
    onGoroutine {
      for _ in 0..<200 {
        let ended = Channel<Int>()
        go {
          Goroutine.lockToThread()
          ended.send(1)
        }
        _ = ended.receive()
      }
    }
    // Other tests have threads of their own meanwhile.
    #expect(threadRecordCount() < before + 100)
  }
}
