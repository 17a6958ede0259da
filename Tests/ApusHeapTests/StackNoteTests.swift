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

    @Test func whoIsMadeReadyKeepsTheStampUntilItRuns() {
      let stamps = DrivenCollector.run {
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
        let ready = Shared(false)
        StopTheWorld.run { _ in
          let reason = g.value!.pointee.waitReason
          Latency.makeReadyAfterWait(g.value!)
          let word = g.value!.pointee.statusWord.load(ordering: .relaxed)
          ready.value = g.value!.pointee.status == .runnable && word & G.scanMask != 0
          g.value!.pointee.setStatus(.waiting)
          g.value!.pointee.waitReason = reason
        }
        steps.send(())
        done.receive()
        DrivenCollector.end()
        return [atFirst, ready.value]
      }
      #expect(stamps == [true, true])
    }
  }
}
