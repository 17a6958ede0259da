import Apus
import Testing

@Suite struct RuntimeTests {
  @Test func knowsTheMachine() {
    #expect(Runtime.cpuCount >= 1)
    #expect((1...1024).contains(Runtime.maxProcs))
    #expect(Runtime.goroutineCount >= 0)
  }

  @Test func outsideTheLimitsMaxProcsIsKeptOrClamped() async {
    await #expect(processExitsWith: .success) {
      let before = Runtime.maxProcs
      Runtime.maxProcs = 0
      precondition(Runtime.maxProcs == before)
      Runtime.maxProcs = -5
      precondition(Runtime.maxProcs == before)
      Runtime.maxProcs = 5000
      precondition(Runtime.maxProcs == 1024)
      Runtime.maxProcs = 2
      precondition(Runtime.maxProcs == 2)
      precondition(onGoroutine { Goroutine.current } != nil)
    }
  }

  /// Goroutines spawn, meet and yield while the number of processors changes; all of them get to their end.
  @Test func maxProcsChangesUnderLoad() async {
    await #expect(processExitsWith: .success) {
      let (sum, counts) = onGoroutine {
        let numbers = Channel<Int>(capacity: 4)
        let senders = WaitGroup()
        for sender in 0..<16 {
          senders.go {
            for number in 0..<500 {
              if number & 15 == 0 { Goroutine.yield() }
              go(number + sender) { numbers.send($0) }
            }
          }
        }
        let seen = Channel<Int>(capacity: 60)
        go {
          for procs in [1, 3, 8, 2, 5, 1, 16, 4, 1, 2, 64, 1, 7, 2, 1, 6, 3, 2, 9, 2] {
            Runtime.maxProcs = procs
            seen.send(Runtime.maxProcs)
            for _ in 0..<20 { Goroutine.yield() }
          }
        }
        var sum = 0
        for _ in 0..<8000 { sum += numbers.receive()! }
        senders.wait()
        return (sum, (0..<20).map { _ in seen.receive()! })
      }
      precondition(sum == 16 * 124_750 + 500 * 120, "goroutines were lost")
      precondition(counts == [1, 3, 8, 2, 5, 1, 16, 4, 1, 2, 64, 1, 7, 2, 1, 6, 3, 2, 9, 2])
    }
  }

  /// Also after a change of processors, and with goroutines spawned where there is none.
  @Test(arguments: [1, 2, 8])
  func theCountReturnsToWhatItWas(procs: Int) async {
    await #expect(processExitsWith: .success) { [procs] in
      Runtime.maxProcs = procs
      let before = Runtime.goroutineCount
      let (gate, started, ended) = (Channel<Int>(), WaitGroup(), WaitGroup())
      started.add(300)
      @Sendable func wait() {
        started.done()
        _ = gate.receive()
      }
      for _ in 0..<100 { ended.go { wait() } }
      onGoroutine { for _ in 0..<200 { ended.go { wait() } } }
      started.wait()
      precondition(eventually { Runtime.goroutineCount == before + 300 }, "\(Runtime.goroutineCount)")
      Runtime.maxProcs = procs + 3
      precondition(Runtime.goroutineCount == before + 300, "\(Runtime.goroutineCount)")
      Runtime.maxProcs = 1
      gate.close()
      ended.wait()
      precondition(eventually { Runtime.goroutineCount == before }, "\(Runtime.goroutineCount) and not \(before)")
    }
  }
}
