@testable import Apus
@testable import ApusRuntime
import Testing

/// Deadlines of descriptors: passed, cleared, moved, and moved by several at once.
@Suite struct PollDeadlineTests {
  private static func milliseconds(_ count: Int64) -> Int64 { Clock.nanotime() + count * 1_000_000 }

  @Test func aDeadlineEndsAWait() {
    let (outcome, late) = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      let deadline = Self.milliseconds(30)
      pipe.record.setDeadline(.read, at: deadline)
      return (pipe.record.wait(.read), Clock.nanotime() - deadline)
    }
    #expect(outcome == .timedOut)
    #expect(late >= 0)
  }

  @Test func aPassedOneIsOverAtOnceAlsoWithData() {
    let outcomes = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.feed()
      pipe.record.setDeadline(.read, ContinuousClock.now - .seconds(1))
      let passed = (pipe.record.failure(.read), pipe.record.wait(.read))
      pipe.record.setDeadline(.read, nil)
      return (passed.0, passed.1, pipe.record.failure(.read), pipe.record.wait(.read))
    }
    #expect(outcomes.0 == .timedOut)
    #expect(outcomes.1 == .timedOut)
    #expect(outcomes.2 == nil)
    #expect(outcomes.3 == .ready)
  }

  @Test func eachDirectionHasItsOwn() {
    let failures = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.write, at: 1)
      return (pipe.record.failure(.read), pipe.record.failure(.write))
    }
    #expect(failures == (nil, .timedOut))
  }

  @Test func aDeadlineInThePastWakesWhoeverWaits() {
    let outcome = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      yieldOften()
      pipe.record.setDeadline(.read, at: 1)
      return outcomes.receive()
    }
    #expect(outcome == .timedOut)
  }

  @Test func movedOnItIsKept() {
    let (outcome, late) = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.read, at: Self.milliseconds(500))
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      Goroutine.sleep(for: .milliseconds(5))
      let deadline = Self.milliseconds(800)
      pipe.record.setDeadline(.read, at: deadline)
      return (outcomes.receive(), Clock.nanotime() - deadline)
    }
    #expect(outcome == .timedOut)
    #expect(late >= 0)
  }

  @Test func broughtForwardItComesSooner() {
    let (outcome, late) = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.read, at: Self.milliseconds(60_000))
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      Goroutine.sleep(for: .milliseconds(5))
      let deadline = Self.milliseconds(5)
      pipe.record.setDeadline(.read, at: deadline)
      return (outcomes.receive(), Clock.nanotime() - deadline)
    }
    #expect(outcome == .timedOut)
    #expect((0..<30_000_000_000).contains(late))
  }

  @Test func clearedItNeverComes() {
    let outcome = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.read, at: Self.milliseconds(15))
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      yieldOften()
      pipe.record.setDeadline(.read, at: 0)
      Goroutine.sleep(for: .milliseconds(40))
      pipe.feed()
      return outcomes.receive()
    }
    #expect(outcome == .ready)
  }

  /// A timer that has fired for an earlier setting does nothing.
  @Test func aLateTimerOfAnEarlierSettingDoesNothing() {
    let failures = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.read, at: Self.milliseconds(60_000))
      PollDescriptor.expire(pipe.record, .read)
      let later = pipe.record.failure(.read)
      pipe.record.setDeadline(.read, at: 0)
      PollDescriptor.expire(pipe.record, .read)
      return (later, pipe.record.failure(.read))
    }
    #expect(failures == (nil, nil))
  }

  @Test func deadlinesAreReadAsTheyWereSet() {
    let deadlines = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      let (past, future) = (ContinuousClock.now - .seconds(5), ContinuousClock.now + .seconds(500))
      pipe.record.setDeadline(.read, past)
      pipe.record.setDeadline(.write, future)
      let were = pipe.record.deadline(.read) == past && pipe.record.deadline(.write) == future
      pipe.record.setDeadline(.read, nil)
      return (were, pipe.record.deadline(.read))
    }
    #expect(deadlines.0)
    #expect(deadlines.1 == nil)
  }

  /// Deadlines of 290 years and more, and before the machine was started.
  @Test func extremeDeadlines() {
    let failures = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.read, ContinuousClock.now + .seconds(Int64.max / 2))
      let far = pipe.record.failure(.read)
      pipe.record.setDeadline(.read, ContinuousClock.now - .seconds(Int64.max / 2))
      return (far, pipe.record.failure(.read))
    }
    #expect(failures == (nil, .timedOut))
  }

  @Test func manySetThemAtOnce() {
    let outcome = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      let outcomes = Channel<PollOutcome>(capacity: 1)
      go {
        var outcome = pipe.record.wait(.read)
        while outcome == .timedOut {
          Goroutine.yield()
          outcome = pipe.record.wait(.read)
        }
        outcomes.send(outcome)
      }
      let group = WaitGroup()
      for worker in 0..<8 {
        group.go {
          for round in 0..<500 {
            switch (worker + round) % 4 {
            case 0: pipe.record.setDeadline(.read, at: 0)
            case 1: pipe.record.setDeadline(.read, at: 1)
            case 2: pipe.record.setDeadline(.read, at: Clock.nanotime() + Int64(round) * 1000)
            default: pipe.record.setDeadline(.read, at: Self.milliseconds(60_000))
            }
          }
        }
      }
      group.wait()
      pipe.record.setDeadline(.read, at: 0)
      pipe.feed()
      return outcomes.receive()
    }
    #expect(outcome == .ready)
  }

  /// Both are one timer's.
  @Test func aDeadlineIsKeptOverAPause() {
    let (pause, outcome) = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.record.setDeadline(.read, at: Self.milliseconds(50))
      return (pipe.record.pause(nanoseconds: 5_000_000), pipe.record.wait(.read))
    }
    #expect(pause == nil)
    #expect(outcome == .timedOut)
  }

  @Test func aPauseHeedsCloseAndDeadlineButNoEvent() {
    let (whole, late, closed) = onGoroutine {
      let pipe = PolledPipe()
      pipe.feed()
      let start = Clock.nanotime()
      let whole = pipe.record.pause(nanoseconds: 20_000_000) == nil && Clock.nanotime() - start >= 20_000_000
      pipe.record.setDeadline(.read, at: Self.milliseconds(10))
      let late = pipe.record.pause(nanoseconds: 60_000_000_000)
      pipe.record.setDeadline(.read, at: 0)
      let outcomes = Channel<PollOutcome?>()
      go { outcomes.send(pipe.record.pause(nanoseconds: 60_000_000_000)) }
      yieldOften()
      pipe.close()
      return (whole, late, outcomes.receive()!)
    }
    #expect(whole)
    #expect(late == .timedOut)
    #expect(closed == .closing)
  }
}
