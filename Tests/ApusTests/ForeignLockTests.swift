import Apus
import Testing

/// Threads that the runtime did not make and goroutines use the same locks, timers and contexts.
@Suite struct ForeignLockTests {
  /// Runs `body` on four threads and four goroutines, each with a number, and waits for all.
  private func onBoth(_ body: @escaping @Sendable (Int) -> Void) {
    let group = WaitGroup()
    group.add(8)
    startThreads(4) {
      body($0)
      group.done()
    }
    for number in 4..<8 {
      go {
        body(number)
        group.done()
      }
    }
    group.wait()
  }

  @Test func aMutexExcludesBoth() {
    let mutex = Mutex(0)
    onBoth { _ in
      for round in 0..<300 {
        mutex.withLock { value in
          let before = value
          // Held over a scheduling point: the others have to wait.
          if round % 3 == 0 { Goroutine.yield() }
          value = before + 1
        }
      }
    }
    #expect(mutex.withLock { $0 } == 8 * 300)
  }

  @Test func aReadWriteMutexExcludesBoth() {
    let mutex = RWMutex((left: 0, right: 0))
    let torn = SharedCount()
    onBoth { number in
      for round in 0..<300 {
        if (round + number) % 4 == 0 {
          mutex.withWriteLock { pair in
            pair.left += 1
            Goroutine.yield()
            pair.right += 1
          }
        } else {
          mutex.withReadLock { pair in
            if round % 8 == 0 { Goroutine.yield() }
            if pair.left != pair.right { torn.add() }
          }
        }
      }
    }
    #expect(torn.value == 0)
    #expect(mutex.withReadLock { $0.left } == 8 * 75)
  }

  @Test func aSemaphoreServesBoth() {
    let semaphore = Semaphore(3)
    let (inside, excess) = (Sum(), SharedCount())
    onBoth { number in
      let units = number % 3 + 1
      for _ in 0..<200 {
        semaphore.acquire(units)
        if inside.add(units) > 3 { excess.add() }
        Goroutine.yield()
        inside.add(-units)
        semaphore.release(units)
      }
    }
    #expect(excess.value == 0)
    #expect(semaphore.tryAcquire(3))
  }

  @Test func aConditionWakesBoth() {
    // A buffer of two: what every second puts in, the others take out.
    let buffer = Mutex([Int]())
    let (isNotFull, isNotEmpty) = (Condition(), Condition())
    let sum = Sum()
    onBoth { number in
      for round in 0..<200 {
        if number % 2 == 0 {
          buffer.withLock(waitingOn: isNotFull, until: { $0.count < 2 }) { $0.append(number * 200 + round) }
          isNotEmpty.signal()
        } else {
          sum.add(buffer.withLock(waitingOn: isNotEmpty, until: { !$0.isEmpty }) { $0.removeFirst() })
          isNotFull.signal()
        }
      }
    }
    let numbers = [0, 2, 4, 6].flatMap { number in (0..<200).map { number * 200 + $0 } }
    #expect(sum.value == numbers.reduce(0, +))
  }

  @Test func onceRunsForBoth() {
    for _ in 0..<50 {
      let once = Once()
      let (runs, early) = (SharedCount(), SharedCount())
      onBoth { _ in
        once.run {
          Goroutine.yield()
          runs.add()
        }
        if runs.value == 0 { early.add() }
      }
      #expect(runs.value == 1 && early.value == 0)
    }
  }

  @Test func timersServeBoth() {
    let start = ContinuousClock.now
    let early = SharedCount()
    onBoth { number in
      let timer = Goroutine.Timer(after: .seconds(10_000))
      for round in 0..<20 {
        let time = ContinuousClock.now
        timer.reset(after: .microseconds(100 * number))
        switch select(timer.channel.receiving, .after(.microseconds(round * 50))) {
        case .first: if ContinuousClock.now - time < .microseconds(100 * number) { early.add() }
        case .second:
          if ContinuousClock.now - time < .microseconds(round * 50) { early.add() }
          if timer.stop(), case .element = timer.channel.tryReceive() { early.add() }
        }
        Goroutine.sleep(for: .microseconds(10))
      }
    }
    #expect(early.value == 0)
    #expect(ContinuousClock.now - start < .seconds(60))
  }

  @Test func aContextIsAwaitedAndCancelledByBoth() {
    let cancelled = SharedCount()
    for round in 0..<50 {
      let (parent, cancel) = Context.background.cancellable()
      onBoth { number in
        let (context, _) = parent.timeout(.seconds(10_000))
        if number == round % 8 { cancel(nil) }
        _ = context.done.receive()
        if context.failure == .cancelled && parent.failure == .cancelled { cancelled.add() }
      }
    }
    #expect(cancelled.value == 50 * 8)
  }
}
