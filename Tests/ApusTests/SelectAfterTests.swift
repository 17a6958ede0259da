import Apus
@testable import ApusRuntime
import Testing

private let far = Duration.seconds(10_000)

/// The timeout of a select.
@Suite struct SelectAfterTests {
  @Test func selectAfterLosesToARealOperation() throws {
    onGoroutine {
      let channel = Channel<Int>()
      for round in 0..<200 {
        go { channel.send(round) }
        switch select(channel.receiving, .after(far)) {
        case .first(let value): #expect(value == round)
        case .second: Issue.record("the timeout came first")
        }
      }
    }
  }

  /// Nothing of the timeouts that lost is left in a heap, not even dead: their frames are used again.
  @Test func selectAfterIsGoneWhenItHasLost() async {
    await #expect(processExitsWith: .success) {
      onGoroutine {
        let (channel, silent) = (Channel<Int>(), Channel<Int>())
        for round in 0..<100 {
          go { channel.send(round) }
          switch select(silent.receiving, channel.receiving, .after(far), .after(.seconds(5_000))) {
          case .second: break
          case .first, .third, .fourth: preconditionFailure("the wrong one")
          }
        }
        let heaps = (0..<Runtime.maxProcs).map { sched.pointee.allP[$0]!.timers }
        precondition(heaps.allSatisfy { $0.pointee.count == 0 }, "timeouts are left")
      }
    }
  }

  @Test func selectAfterWinsWhenNothingElseHappens() throws {
    onGoroutine {
      let channel = Channel<Int>()
      let none: Receiving<Int>? = nil
      let start = ContinuousClock.now
      switch select(channel.receiving, .after(.milliseconds(10))) {
      case .first: Issue.record("a value from nowhere")
      case .second: break
      }
      #expect(ContinuousClock.now - start >= .milliseconds(10))
      switch select(none, .after(.zero), .after(far)) {
      case .first, .third: Issue.record("the wrong one")
      case .second: break
      }
    }
  }

  @Test func selectAfterRacesWithASender() throws {
    onGoroutine {
      let channel = Channel<Int>()
      let received = SharedCount()
      let sent = SharedCount()
      let group = WaitGroup()
      for _ in 0..<4 {
        group.go {
          for round in 0..<300 {
            switch select(channel.receiving, .after(.microseconds(round % 50))) {
            case .first: received.add()
            case .second: break
            }
          }
        }
        group.go {
          for round in 0..<300 {
            switch select(channel.sending(round), .after(.microseconds(round % 70))) {
            case .first: sent.add()
            case .second: break
            }
          }
        }
      }
      group.wait()
      #expect(received.value == sent.value)
    }
  }
}
