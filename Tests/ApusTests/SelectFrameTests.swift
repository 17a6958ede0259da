@testable import Apus
@testable import ApusRuntime
import Foundation
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

  /// Closed after the first look, so that all channels are locked when it is seen. What ends is one goroutine.
  @Test func aSelectThatPanicsLeavesNoLock() {
    let (reason, frames, isFree) = onGoroutine {
      let (closed, other) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
      let frames = sched.pointee.goroutines.selectFrameCount
      let result = Goroutine.isolated {
        var operations = SelectList(other.receiving, SelectList(closed.sending(1), SelectEnd()))
        var plan = SelectPlan()
        operations.describe(&plan, 0)
        closed.close()
        _ = waitInSelect(&operations, &plan)
      }
      var reason = "none"
      if case .failure(let trap) = result { reason = trap.reason }
      // Either hangs if the channel is still locked.
      other.send(1)
      let isFree = other.receive() == 1 && closed.receive() == nil
      return (reason, sched.pointee.goroutines.selectFrameCount - frames, isFree)
    }
    #expect(reason.contains("send on closed channel"))
    #expect(frames <= 1)
    #expect(isFree)
  }

  /// The thread on which a goroutine parked may still be releasing the locks when another has woken that goroutine: it
  /// does not leave the frame before.
  @Test(arguments: [false, true])
  func nobodyLeavesAFrameWhoseLocksAreHeld(isTimer: Bool) {
    let (early, late) = onGoroutine {
      let channel = Channel<Int>()
      let m = currentM()
      let frame = UnsafeMutablePointer<SelectFrame>.take(1, for: m.currentG)
      if isTimer {
        var operation = After(.seconds(1))
        operation._prepare(frame, 0)
      } else {
        frame.add(channel.state.lockAddress)
      }
      let (locked, out) = (SharedCount(), SharedCount())
      let place = UInt(bitPattern: frame)
      let thread = Thread {
        let frame = UnsafeMutablePointer<SelectFrame>(bitPattern: place)!
        while locked.value == 0 { sched_yield() }
        if isTimer {
          var operation = After(.seconds(1))
          operation._dequeue(frame, 0, fired: false)
        } else {
          var operation = channel.receiving
          operation._dequeue(frame, 0, fired: false)
        }
        out.add()
      }
      thread.start()
      frame.lockAll(m)
      locked.add()
      let end = ContinuousClock.now + .milliseconds(20)
      while ContinuousClock.now < end { sched_yield() }
      let early = out.value
      frame.unlockAll(m)
      while out.value == 0 { Goroutine.yield() }
      frame.giveBack()
      return (early, out.value)
    }
    #expect(early == 0 && late == 1)
  }
}
