import Apus
@testable import ApusRuntime
import Testing

@Suite struct SelectFrameTests {
  /// Goroutines that park in a select on one P and resume on another take their frames with them.
  @Test func framesWanderWithoutGrowingInNumber() async {
    await #expect(processExitsWith: .success) {
      Runtime.maxProcs = 2
      onGoroutine {
        let ended = WaitGroup()
        for _ in 0..<32 {
          ended.go {
            let (wake, never) = (Channel<Int>(), Channel<Int>())
            go(wake) { for _ in 0..<1000 { $0.send(1) } }
            for _ in 0..<1000 {
              switch select(wake.receiving, never.receiving) {
              case .first, .second: Goroutine.yield()
              }
            }
          }
        }
        ended.wait()
      }
      // 32 in use at the most, and what two Ps may keep.
      precondition(sched.pointee.goroutines.selectFrameCount <= 32 + 2 * SelectFrameList.localLimit)
    }
  }
}
