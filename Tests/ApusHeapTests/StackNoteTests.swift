import Apus
import ApusHeap
import Testing

import struct Synchronization.Atomic

@testable import ApusRuntime

extension ManagedHeapTests.Moving {
  /// Stacks that are looked at when they are left.
  @Suite struct Notes {
    typealias Setting = ManagedHeapTests.Moving.Setting

    /// Has every P note what the goroutines that it leaves refer to, as when a pause was too short.
    private static func beginNotes() {
      StopTheWorld.run { _ in StackNotes.begin() }
    }

    /// What was noted and is not marked yet.
    private static var noted: Int {
      let sum = Shared(0)
      StopTheWorld.run { _ in
        Processors.each { sum.value += $0.pointee.heap.notes.count }
      }
      return sum.value
    }

    /// Whether `g` waits, and its stack counts as scanned.
    private static func isStamped(_ g: GRef) -> Bool {
      let stamp = G.scanStamp(cycle: heap.pointee.collector.cycle.load(ordering: .relaxed))
      return g.pointee.status == .waiting && g.pointee.statusWord.load(ordering: .relaxed) & G.scanMask == stamp
    }

    @Test func aStackThatIsLeftWhileTheCycleEndsIsNoted() {
      let (lives, isStamped, noted) = DrivenCollector.run {
        let setting = Setting.make(length: 5000)
        let (steps, done) = (Channel<Void>(), Channel<Void>())
        let g = Shared<GRef?>(nil)
        go { heap in
          g.value = currentM().currentG
          steps.receive()
          setting.keepPayloadOnStack(heap, until: steps, telling: done)
        }
        Goroutine.yield()
        DrivenCollector.begin()
        DrivenCollector.mark(100 * 24)
        Self.beginNotes()
        steps.send(())
        done.receive()
        let isStamped = eventually { Self.isStamped(g.value!) }
        let noted = Self.noted
        DrivenCollector.end()
        let lives = setting.payloadLives()
        if lives {
          steps.send(())
          done.receive()
        }
        return (lives, isStamped, noted)
      }
      #expect(lives)
      #expect(isStamped)
      #expect(noted > 0)
    }

    /// Also who is sampled (`Latency`), or timed for a profile, as the wait here may be or not.
    @Test(arguments: [0, G.isTimed, G.isTimed | G.isSampled])
    func whoIsMadeReadyKeepsTheStampUntilItRuns(marks: UInt8) {
      let (atFirst, whenReady) = DrivenCollector.run {
        let (steps, done) = (Channel<Void>(), Channel<Void>())
        let g = Shared<GRef?>(nil)
        go { _ in
          g.value = currentM().currentG
          steps.receive()
          done.send(())
          steps.receive()
          done.send(())
        }
        DrivenCollector.begin()
        Self.beginNotes()
        // One that began to wait between the two would be stamped by neither.
        steps.send(())
        done.receive()
        let atFirst = eventually { Self.isStamped(g.value!) }
        // Nobody runs it, since the world stands still; and what it waits for is still to come.
        let whenReady = Shared(false)
        StopTheWorld.run { _ in
          let g = g.value!
          let (reason, time) = (g.pointee.waitReason, g.pointee.waiter.readyTime)
          let before = g.pointee.statusWord.load(ordering: .relaxed)
          g.pointee.statusWord.store(before & ~G.marksMask | marks, ordering: .relaxed)
          Latency.makeReadyAfterWait(g)
          let after = g.pointee.statusWord.load(ordering: .relaxed)
          whenReady.value =
            g.pointee.status == .runnable && after & G.marksMask == marks && after & G.scanMask == before & G.scanMask
          g.pointee.statusWord.store(before, ordering: .relaxed)
          g.pointee.waitReason = reason
          g.pointee.waiter.readyTime = time
        }
        steps.send(())
        done.receive()
        DrivenCollector.end()
        return (atFirst, whenReady.value)
      }
      #expect(atFirst)
      #expect(whenReady)
    }
  }
}
