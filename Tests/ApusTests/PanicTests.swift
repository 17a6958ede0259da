@testable import Apus
import Synchronization
import Testing

/// Misuse ends the process with status 2 and Go's words.
@Suite struct PanicTests {
  private func words(_ result: ExitTest.Result?) -> String {
    String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
  }

  @Test func sendOnAClosedChannel() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let channel = Channel<Int>(capacity: 1)
      channel.close()
      onGoroutine { channel.send(1) }
    }
    #expect(words(result).contains("panic: send on closed channel"))
  }

  @Test func sendOnAChannelThatIsClosedMeanwhile() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let channel = Channel<Int>()
      go { channel.send(1) }
      onGoroutine {
        _ = eventually { channel.waiting.senders == 1 }
        channel.close()
        yieldOften()
      }
      Channel<Int>().send(0)
    }
    #expect(words(result).contains("panic: send on closed channel"))
  }

  @Test func selectSendingOnAClosedChannel() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let (closed, other) = (Channel<Int>(capacity: 1), Channel<Int>())
      closed.close()
      onGoroutine {
        switch select(other.receiving, closed.sending(1), .default) {
        case .first, .second, .third: break
        }
      }
    }
    #expect(words(result).contains("panic: send on closed channel"))
  }

  @Test func closeOfAClosedChannel() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let channel = Channel<Int>()
      channel.close()
      channel.close()
    }
    #expect(words(result).contains("panic: close of closed channel"))
  }

  @Test func negativeCapacity() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      _ = Channel<Int>(capacity: -1)
    }
    #expect(words(result).contains("panic: makechan: size out of range"))
  }

  @Test func negativeWaitGroup() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      WaitGroup().done()
    }
    #expect(words(result).contains("panic: sync: negative WaitGroup counter"))
  }

  /// The first unit of a new round comes while those of the last have not been released.
  @Test func addingToAWaitGroupThatIsWaitedFor() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      let group = WaitGroup()
      // As after `wait` has counted itself in, before it has seen the zero that an earlier `done` made.
      group.state.store(1, ordering: .sequentiallyConsistent)
      group.add()
    }
    #expect(words(result).contains("panic: sync: WaitGroup misuse: Add called concurrently with Wait"))
  }

  @Test func usingAWaitGroupBeforeAllHaveReturned() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      Runtime.maxProcs = 1
      onGoroutine {
        let group = WaitGroup()
        group.add()
        let waits = Shared(false)
        go {
          waits.value = true
          group.wait()
        }
        while !waits.value { Goroutine.yield() }
        Goroutine.yield()
        group.done()
        // The one that waited has been released, and does not run before this goroutine waits.
        group.add()
        yieldOften()
      }
    }
    #expect(words(result).contains("panic: sync: WaitGroup is reused before previous Wait has returned"))
  }

  @Test func closingAContextsChannel() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine { Context.background.done.close() }
    }
    #expect(words(result).contains("panic: close of receive-only channel"))
  }

  @Test func closingATimersChannel() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine { Goroutine.after(.seconds(60)).close() }
    }
    #expect(words(result).contains("panic: close of receive-only channel"))
  }

  @Test func aWaitGroupBeyondItsCounter() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine { WaitGroup().add(1 << 32) }
    }
    #expect(words(result).contains("panic: sync: WaitGroup counter out of range"))
  }

  @Test func aChannelOfAbsurdSize() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine { _ = Channel<UInt8>(capacity: 1 << 46) }
    }
    #expect(words(result).contains("panic: makechan: size out of range"))
  }
}
