@testable import Apus
import Testing

private let far = Duration.seconds(10_000)

@Suite struct TickerTests {
  @Test func ticksNeverComeEarlyAndAreEvenlySpaced() throws {
    onGoroutine {
      let start = ContinuousClock.now
      let interval = Duration.milliseconds(2)
      let ticker = Goroutine.Ticker(every: interval)
      var last = start
      for tick in 1...20 {
        let time = ticker.channel.receive()!
        #expect(time >= start + interval * tick)
        #expect(ContinuousClock.now >= time)
        #expect(time > last)
        last = time
      }
      ticker.stop()
      #expect(ticker.channel.isEmptyNow)
    }
  }

  @Test func timesAreToldWithoutTheTimeThatAThreadStood() {
    // The clocks as a thread reads them that the kernel lets stand for a second after it has read the first.
    let start = ContinuousClock.now
    var clock: Int64 = 0
    var stands = [true, false]
    let told = TimerChannel.instant(
      of: 0, monotonic: { clock },
      continuous: {
        if stands.removeFirst() { clock += 1_000_000_000 }
        return start + .nanoseconds(clock)
      })
    #expect(told == start)
  }

  @Test func ticksOfASlowReceiverAreDropped() throws {
    onGoroutine {
      let start = ContinuousClock.now
      let ticker = Goroutine.Ticker(every: .milliseconds(10))
      Goroutine.sleep(for: .milliseconds(100))
      // The first that was missed stands for all of them.
      let first = ticker.channel.receive()!
      #expect(first < start + .milliseconds(100))
      let second = ticker.channel.receive()!
      #expect(second >= start + .milliseconds(100))
    }
  }

  @Test func resetChangesTheInterval() throws {
    onGoroutine {
      let ticker = Goroutine.Ticker(every: far)
      ticker.reset(every: .milliseconds(1))
      for _ in 0..<5 { #expect(ticker.channel.receive() != nil) }
      ticker.reset(every: far)
      #expect(ticker.channel.isEmptyNow)
      ticker.stop()
      ticker.reset(every: .milliseconds(1))
      #expect(ticker.channel.receive() != nil)
    }
  }

  @Test func manyTickersComeAndGo() throws {
    onGoroutine {
      let group = WaitGroup()
      for worker in 0..<10 {
        group.go {
          for _ in 0..<20 {
            let ticker = Goroutine.Ticker(every: .microseconds(50 * (worker + 1)))
            for _ in 0..<3 { _ = ticker.channel.receive() }
            ticker.stop()
            ticker.reset(every: .microseconds(10))
            _ = ticker.channel.receive()
          }
        }
      }
      group.wait()
    }
  }
}
