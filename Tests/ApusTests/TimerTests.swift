import Apus
import Testing

import struct Synchronization.Atomic

private let far = Duration.seconds(10_000)

/// Sleeps, timers and `after`. Times are only ever tested downwards (nothing comes too early); what is expected to come
/// is waited for. (That they come in the order of their time is among the tests of programs.)
@Suite struct TimerTests {
  private func elapsed(_ body: () -> Void) -> Duration { ContinuousClock().measure(body) }

  @Test func sleepsForAtLeastTheDuration() throws {
    onGoroutine {
      for milliseconds in [0, 1, 5, 20] {
        #expect(self.elapsed { Goroutine.sleep(for: .milliseconds(milliseconds)) } >= .milliseconds(milliseconds))
      }
      let end = ContinuousClock.now.advanced(by: .milliseconds(5))
      Goroutine.sleep(until: end)
      #expect(ContinuousClock.now >= end)
      Goroutine.sleep(until: end)
    }
  }

  @Test func aThreadThatIsNoGoroutinesSleepsToo() {
    #expect(elapsed { Goroutine.sleep(for: .milliseconds(10)) } >= .milliseconds(10))
    let channel = Goroutine.after(.milliseconds(5))
    #expect(channel.receive() != nil)
  }

  @Test func sleepOfNothingOrLessReturnsAtOnce() throws {
    onGoroutine {
      let least = Duration.seconds(Int64.min) * 10
      for duration: Duration in [.zero, .seconds(-1), .seconds(Int64.min), .nanoseconds(Int64.min), least] {
        Goroutine.sleep(for: duration)
      }
    }
  }

  @Test func afterGivesItsOwnTimeHoweverLateItIsReceived() throws {
    onGoroutine {
      let start = ContinuousClock.now
      let channel = Goroutine.after(.milliseconds(10))
      Goroutine.sleep(for: .milliseconds(200))
      let time = channel.receive()!
      #expect(time >= start + .milliseconds(10))
      #expect(time < start + .milliseconds(150))
    }
  }

  @Test func afterRunsItsFunctionOnceInAGoroutine() throws {
    onGoroutine {
      let ran = Channel<Bool>()
      let own = Goroutine.current
      let timer = Goroutine.after(.milliseconds(1)) { ran.send(Goroutine.current != nil && Goroutine.current != own) }
      #expect(ran.receive()!)
      #expect(!timer.stop())
      #expect(timer.channel.count == 0)
    }
  }

  @Test func anAfterThatNobodyKeepsRunsNevertheless() throws {
    onGoroutine {
      let ran = Channel<Int>()
      for index in 0..<10 { Goroutine.after(.milliseconds(1)) { ran.send(index) } }
      #expect((0..<10).map { _ in ran.receive()! }.sorted() == Array(0..<10))
    }
  }

  @Test func chainsOfAfters() throws {
    onGoroutine {
      let done = Channel<Void>()
      @Sendable func step(_ left: Int) {
        if left == 0 { return done.send(()) }
        Goroutine.after(.zero) { step(left - 1) }
      }
      step(1000)
      #expect(done.receive() != nil)
    }
  }

  @Test func aStoppedFunctionDoesNotRun() throws {
    try onGoroutine {
      let count = Atomic<Int>(0)
      // nonisolated: the atomic outlives every function, as all are stopped or received from below.
      try withUnsafePointer(to: count) { address in
        nonisolated(unsafe) let address = address
        let stopped = Goroutine.after(.milliseconds(5)) { address.pointee.wrappingAdd(1, ordering: .relaxed) }
        #expect(stopped.stop())
        #expect(!stopped.stop())
        let ran = Channel<Void>()
        Goroutine.after(.milliseconds(50)) { ran.send(()) }
        _ = ran.receive()
        #expect(address.pointee.load(ordering: .relaxed) == 0)
        try #require(stopped.reset(after: far) == false)
        #expect(stopped.reset(after: far))
        #expect(stopped.stop())
      }
    }
  }

  @Test func aFunctionRunsOnceForEachReset() throws {
    onGoroutine {
      let ran = Channel<Void>()
      let timer = Goroutine.after(far) { ran.send(()) }
      for _ in 0..<100 {
        #expect(timer.reset(after: .zero))
        _ = ran.receive()
        #expect(!timer.reset(after: far))
      }
      #expect(timer.stop())
    }
  }

  @Test func stopAndResetSayWhetherTheTimerWasPending() throws {
    onGoroutine {
      let timer = Goroutine.Timer(after: far)
      #expect(timer.reset(after: far))
      #expect(timer.stop())
      #expect(!timer.stop())
      #expect(!timer.reset(after: .zero))
      #expect(timer.channel.receive() != nil)
      #expect(!timer.stop())
      #expect(!timer.reset(after: far))
      #expect(timer.stop())
    }
  }

  @Test func aTimerThatExpiredAndWasNotReceivedFromIsStoppedWithoutATrace() throws {
    onGoroutine {
      let timer = Goroutine.Timer(after: .nanoseconds(1))
      Goroutine.sleep(for: .milliseconds(2))
      #expect(timer.channel.count == 0 && timer.channel.capacity == 0)
      #expect(timer.stop())
      #expect(timer.channel.isEmptyNow)
      _ = timer.reset(after: .nanoseconds(1))
      Goroutine.sleep(for: .milliseconds(2))
      #expect(timer.reset(after: far))
      #expect(timer.channel.isEmptyNow)
    }
  }

  /// Go's test of both kinds of timer channels, in and out of the heap.
  @Test(arguments: [false, true]) func timerChannels(isTicker: Bool) throws {
    onGoroutine {
      let ticker = Goroutine.Ticker(every: far)
      let timer = Goroutine.Timer(after: far)
      let channel = isTicker ? ticker.channel : timer.channel
      @Sendable func reset(_ duration: Duration) {
        if isTicker { ticker.reset(every: duration) } else { timer.reset(after: duration) }
      }
      @Sendable func stop() {
        if isTicker { ticker.stop() } else { timer.stop() }
      }
      // Never in a heap.
      stop()
      #expect(channel.isEmptyNow)
      reset(far)
      #expect(channel.isEmptyNow)
      reset(.nanoseconds(1))
      Goroutine.sleep(for: .milliseconds(1))
      #expect(channel.count == 0 && channel.capacity == 0)
      #expect(!channel.isEmptyNow)
      Goroutine.sleep(for: .milliseconds(1))
      reset(far)
      #expect(channel.isEmptyNow)
      // In the heap, as somebody waits: far away, further away, now.
      let received = Channel<Void>()
      go {
        _ = channel.receive()
        received.send(())
      }
      letOthersRun()
      reset(.seconds(20_000))
      letOthersRun()
      if case .empty = received.tryReceive() {} else { Issue.record("received too early") }
      reset(.nanoseconds(1))
      #expect(received.receive() != nil)
      if isTicker {
        #expect(channel.receive() != nil)
      } else {
        #expect(channel.isEmptyNow)
      }
      stop()
      #expect(channel.isEmptyNow)
      // Two that wait in a select, one time for both.
      reset(far)
      let gate = Channel<Void>()
      let outcomes = Channel<Bool>(capacity: 2)
      for _ in 0..<2 {
        go {
          switch select(channel.receiving, gate.receiving) {
          case .first: outcomes.send(true)
          case .second: outcomes.send(false)
          }
        }
      }
      letOthersRun()
      reset(.milliseconds(1))
      #expect(outcomes.receive() == true)
      stop()
      gate.close()
      let second = outcomes.receive()!
      #expect(!second || isTicker)
      // Waiting for a stopped one.
      let closed = Channel<Void>()
      for _ in 0..<2 {
        go {
          switch select(channel.receiving, closed.receiving) {
          case .first: outcomes.send(true)
          case .second: outcomes.send(false)
          }
        }
      }
      letOthersRun()
      closed.close()
      #expect(outcomes.receive() == false && outcomes.receive() == false)
    }
  }

  @Test func manyWaitForOneTicker() throws {
    onGoroutine {
      let ticker = Goroutine.Ticker(every: .milliseconds(1))
      let group = WaitGroup()
      for _ in 0..<20 { group.go { for _ in 0..<3 { _ = ticker.channel.receive() } } }
      group.wait()
      ticker.stop()
    }
  }

  @Test func resetToAnEarlierTimeWakesWhoeverWaits() throws {
    onGoroutine {
      let start = ContinuousClock.now
      let timers = (0..<50).map { Goroutine.Timer(after: .seconds(100 + $0)) }
      let group = WaitGroup()
      for timer in timers { group.go { _ = timer.channel.receive() } }
      letOthersRun()
      for timer in timers { timer.reset(after: .milliseconds(1)) }
      group.wait()
      #expect(ContinuousClock.now - start < .seconds(90))
    }
  }

  @Test func resetToALaterTimeIsKept() throws {
    onGoroutine {
      for _ in 0..<50 {
        let timer = Goroutine.Timer(after: .milliseconds(20))
        let time = Channel<ContinuousClock.Instant>(capacity: 1)
        go { time.send(timer.channel.receive()!) }
        letOthersRun()
        let start = ContinuousClock.now
        // False if the first time has come before: on a machine that is busy with something else.
        let isInTime = timer.reset(after: .milliseconds(60))
        let received = time.receive()!
        if isInTime {
          #expect(received >= start + .milliseconds(60))
          return
        }
      }
      Issue.record("the timer was never reset before its time")
    }
  }

  @Test func hugeDurationsNeverFire() throws {
    onGoroutine {
      let huge: [Duration] = [
        .nanoseconds(Int64.max), .seconds(Int64.max), .nanoseconds(Int64.max) - .nanoseconds(1), .seconds(1 << 40),
        .seconds(Int64.max) * 10,
      ]
      for duration in huge {
        let timer = Goroutine.Timer(after: duration)
        let function = Goroutine.after(duration) { Issue.record("it ran") }
        switch select(timer.channel.receiving, .after(.milliseconds(5))) {
        case .first: Issue.record("it fired")
        case .second: break
        }
        #expect(timer.stop() && function.stop())
        let ticker = Goroutine.Ticker(every: duration)
        #expect(ticker.channel.isEmptyNow)
        switch select(.after(duration), .after(.milliseconds(1))) {
        case .first: Issue.record("it fired")
        case .second: break
        }
      }
    }
  }

  @Test func pastDurationsFireAtOnce() throws {
    onGoroutine {
      for duration: Duration in [.seconds(Int64.min) * 10, .seconds(Int64.min), .nanoseconds(-1), .zero] {
        let timer = Goroutine.Timer(after: .seconds(3600))
        for _ in 0..<20 {
          #expect(Goroutine.after(duration).receive() != nil)
          timer.reset(after: duration)
          #expect(timer.channel.receive() != nil)
          let ran = Channel<Void>()
          _ = Goroutine.after(duration) { ran.send(()) }
          #expect(ran.receive() != nil)
          switch select(.after(duration), Channel<Int>().receiving) {
          case .first, .second: break
          }
          Goroutine.sleep(for: duration)
          Goroutine.sleep(until: .now + duration)
        }
      }
    }
  }

  /// Who sleeps for longer than time lasts does not wake, and the process knows that somebody sleeps.
  @Test func whoSleepsForTooLongSleepsForEver() async {
    await #expect(processExitsWith: .success) {
      let woken = SharedCount()
      let begun = WaitGroup()
      for duration: Duration in [.nanoseconds(Int64.max), .seconds(Int64.max), .seconds(Int64.max) * 10] {
        begun.add(2)
        go {
          begun.done()
          Goroutine.sleep(for: duration)
          woken.add()
        }
        go {
          begun.done()
          Goroutine.sleep(until: .now + duration)
          woken.add()
        }
      }
      begun.wait()
      onGoroutine { Goroutine.sleep(for: .milliseconds(20)) }
      precondition(woken.value == 0)
    }
  }

  @Test func stopRacesWithFiring() throws {
    onGoroutine {
      let ran = SharedCount()
      let group = WaitGroup()
      for worker in 0..<8 {
        group.go {
          for round in 0..<200 {
            let timer = Goroutine.after(.nanoseconds(round * worker * 100)) { ran.add() }
            Goroutine.yield()
            if timer.stop() { ran.add() }
          }
        }
      }
      group.wait()
      // Each was stopped or runs, never both and never neither.
      while ran.value < 1600 { Goroutine.yield() }
      Goroutine.sleep(for: .milliseconds(5))
      #expect(ran.value == 1600)
    }
  }

  @Test func aTimerMayBeStoppedByAnotherGoroutine() throws {
    onGoroutine {
      for _ in 0..<100 {
        let timer = Goroutine.Timer(after: .milliseconds(1))
        let stopped = Channel<Bool>(capacity: 1)
        go { stopped.send(timer.stop()) }
        switch select(timer.channel.receiving, .after(.milliseconds(3))) {
        case .first: #expect(stopped.receive() == false)
        case .second: #expect(stopped.receive() == true)
        }
      }
    }
  }

  @Test func timersThatNobodyRefersToAreGone() throws {
    onGoroutine {
      weak var channel: Channel<ContinuousClock.Instant>?
      weak var timer: Goroutine.Timer?
      weak var ticker: Goroutine.Ticker?
      do {
        let first = Goroutine.Timer(after: far)
        let second = Goroutine.Ticker(every: .milliseconds(1))
        (channel, timer, ticker) = (first.channel, first, second)
        // Once in the heap each: somebody waited.
        _ = select(first.channel.receiving, second.channel.receiving)
        #expect(channel != nil && timer != nil && ticker != nil)
      }
      #expect(channel == nil && timer == nil && ticker == nil)
    }
  }

  @Test func whatAFunctionCapturedIsReleased() throws {
    onGoroutine {
      weak var captured: SharedCount?
      weak var stopped: SharedCount?
      let ran = Channel<Void>()
      do {
        let first = SharedCount()
        let second = SharedCount()
        (captured, stopped) = (first, second)
        Goroutine.after(.zero) {
          first.add()
          ran.send(())
        }
        Goroutine.after(far) { second.add() }.stop()
      }
      _ = ran.receive()
      #expect(stopped == nil)
      while captured != nil { Goroutine.yield() }
    }
  }

  @Test func timersAreHeardUnderABusyProcessor() throws {
    onGoroutine {
      // Goroutines that never wait keep every processor busy.
      let over = SharedCount()
      let group = WaitGroup()
      for _ in 0..<20 { group.go { while over.value == 0 { Goroutine.yield() } } }
      for _ in 0..<20 { Goroutine.sleep(for: .milliseconds(1)) }
      let ran = Channel<Void>()
      Goroutine.after(.milliseconds(1)) { ran.send(()) }
      _ = ran.receive()
      over.add()
      group.wait()
    }
  }

  /// So many goroutines which never wait that the processor's queue is full whenever it looks at its timers.
  @Test func timersAreHeardThoughTheQueueIsFull() async {
    await #expect(processExitsWith: .success) {
      Runtime.maxProcs = 1
      onGoroutine {
        let over = SharedCount()
        let group = WaitGroup()
        for _ in 0..<250 { group.go { while over.value == 0 { Goroutine.yield() } } }
        for _ in 0..<10 {
          Goroutine.sleep(for: .microseconds(100))
          let ran = Channel<Void>()
          Goroutine.after(.microseconds(100)) { ran.send(()) }
          _ = ran.receive()
          group.go { while over.value == 0 { Goroutine.yield() } }
        }
        over.add()
        group.wait()
      }
    }
  }

  @Test func timersSurviveAChangeOfTheNumberOfProcessors() throws {
    let before = Runtime.maxProcs
    defer { Runtime.maxProcs = before }
    onGoroutine {
      Runtime.maxProcs = 8
      let group = WaitGroup()
      let ran = SharedCount()
      group.add(200)
      for index in 0..<200 {
        group.go {
          Goroutine.sleep(for: .milliseconds(5 + index % 20))
          Goroutine.after(.milliseconds(index % 20)) {
            ran.add()
            group.done()
          }
          switch select(Channel<Int>().receiving, .after(.milliseconds(index % 20))) {
          case .first, .second: break
          }
        }
      }
      for procs in [1, 4, 2, 8, 1, 3] {
        Runtime.maxProcs = procs
        Goroutine.sleep(for: .milliseconds(3))
      }
      group.wait()
      #expect(ran.value == 200)
    }
  }
}
