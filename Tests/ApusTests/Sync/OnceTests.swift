import Apus
import Testing

@Suite struct OnceTests {
  /// Whoever returns from `run` finds that the body has run, whichever goroutine it ran on.
  @Test func bodyRunsOnceBeforeAnybodyGoesOn() throws {
    onGoroutine {
      for _ in 0..<50 {
        let once = Once()
        let runs = Sum()
        let isComplete = Flag()
        let group = WaitGroup()
        for _ in 0..<10 {
          group.go {
            once.run {
              runs.add()
              for _ in 0..<5 { Goroutine.yield() }
              isComplete.set()
            }
            let sawAll = isComplete.isSet
            #expect(sawAll)
          }
        }
        group.wait()
        #expect(runs.value == 1)
      }
    }
  }

  @Test func bodyThatThrowsHasRun() {
    struct Refusal: Error {}
    let once = Once()
    var runs = 0
    #expect(throws: Refusal.self) {
      try once.run { () throws(Refusal) in
        runs += 1
        throw Refusal()
      }
    }
    once.run { runs += 1 }
    #expect(runs == 1)
  }

  @Test func laterCallsRunNothing() {
    let once = Once()
    var runs = 0
    for _ in 0..<3 { once.run { runs += 1 } }
    #expect(runs == 1)
  }
}
