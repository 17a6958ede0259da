import Apus
import Testing

@Suite struct WaitGroupUseTests {
  /// Two groups, used again and again, hold a number of goroutines back until each has passed the first.
  @Test func waitReturnsWhenAllAreDone() throws {
    onGoroutine {
      let first = WaitGroup()
      let second = WaitGroup()
      for _ in 0..<100 {
        let exited = Channel<Void>(capacity: 16)
        first.add(16)
        second.add(16)
        for _ in 0..<16 {
          go {
            first.done()
            second.wait()
            exited.send(())
          }
        }
        first.wait()
        for _ in 0..<16 {
          #expect(exited.count == 0)
          second.done()
        }
        for _ in 0..<16 { _ = exited.receive() }
      }
    }
  }

  @Test func allWhoWaitAreReleased() throws {
    onGoroutine {
      let group = WaitGroup()
      group.add()
      let waiting = WaitGroup()
      for _ in 0..<100 { waiting.go { group.wait() } }
      for _ in 0..<10 { Goroutine.yield() }
      group.done()
      waiting.wait()
    }
  }

  /// What was written before `done` is there after `wait`.
  @Test func doneHappensBeforeWaitReturns() throws {
    onGoroutine {
      for _ in 0..<1000 {
        let group = WaitGroup()
        let count = Sum()
        for _ in 0..<2 {
          group.add()
          go {
            count.add()
            group.done()
          }
        }
        group.wait()
        #expect(count.value == 2)
      }
    }
  }

  @Test func goCountsItsBody() throws {
    onGoroutine {
      let group = WaitGroup()
      let isDone = Flag()
      group.go {
        Goroutine.yield()
        isDone.set()
      }
      group.wait()
      let wasDone = isDone.isSet
      #expect(wasDone)
    }
  }

  @Test func threadBlocksForTheGroup() {
    let group = WaitGroup()
    let count = Sum()
    for _ in 0..<100 { group.go { count.add() } }
    group.wait()
    #expect(count.value == 100)
  }

  @Test func waitOnAnEmptyGroupReturns() {
    let group = WaitGroup()
    group.wait()
    group.add(0)
    group.wait()
  }

  @Test func negativeCounterIsFatal() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let group = WaitGroup()
      group.add()
      group.done()
      group.done()
    }
    #expect(text(result).contains("panic: sync: negative WaitGroup counter\n"))
  }

  /// `wait` must not return when the body ends the process.
  @Test func failureInABodyIsNotADone() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let group = WaitGroup()
      group.go { Channel<Int>(capacity: 0).closeTwice() }
      group.wait()
      fatalError("wait returned")
    }
    #expect(text(result).contains("panic: close of closed channel\n"))
    #expect(!text(result).contains("wait returned"))
  }
}

extension Channel {
  fileprivate func closeTwice() {
    close()
    close()
  }
}

/// What a process wrote to its standard error.
func text(_ result: ExitTest.Result?) -> String {
  String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
}
