import Apus
import CApus
import CStress
import Glibc
import Testing

import struct Synchronization.Atomic

@testable import ApusHeap
@testable import ApusRuntime

extension ManagedHeapTests {
  /// References of goroutines whose threads stand still in the middle of a program's own code, or sleep in the kernel. Each
  /// of these fails with the mechanism taken out: the registers in the signal's frame, the vector registers behind them,
  /// the numbers of links in them, the signal to those that have no processor.
  @Suite struct StoppedThreads {
    struct Held {
      var next = Link<Held>()
      var number: Int
    }

    /// An object that nobody refers to, as `stress_hold` wants it, and a way to ask whether it was collected.
    private final class Hiding: @unchecked Sendable {
      // Unchecked: the test orders its accesses by the two flags and the group.
      private let flags = UnsafeMutablePointer<CInt>.allocate(capacity: 2)
      var thread: CInt = 0
      var holds: UnsafeMutablePointer<CInt> { flags }
      var ends: UnsafeMutablePointer<CInt> { flags + 1 }
      var weak: WeakRef<Held>?
      var result = -1

      init() { flags.initialize(repeating: 0, count: 2) }
      deinit { flags.deallocate() }

      /// `asNumber`: what a link to it would hold.
      @inline(never)
      func makeHidden(_ heap: HeapToken, asNumber: Bool) -> UInt64 {
        let held = heap.new(Held(number: 4711))
        weak = WeakRef(held)
        var link: UInt32 = 0
        apus_store_link(&link, UInt(bitPattern: held.address))
        return stress_hidden(asNumber ? UInt64(link) : UInt64(UInt(bitPattern: held.address)))
      }

      @inline(never)
      func find(_ hidden: UInt64, _ heap: HeapToken, asNumber: Bool) {
        var link = UInt32(truncatingIfNeeded: stress_hidden(hidden))
        let address = asNumber ? apus_load_link(&link) : UInt(stress_hidden(hidden))
        result = Ref<Held>(UnsafeMutableRawPointer(bitPattern: address)!).number
      }

      var wasCollected: Bool { withHeap { heap in weak?.get(heap) == nil } }
    }

    private static func hold(
      _ place: Int, isTold: Bool = false, asNumber: Bool = false, in handler: Int? = nil
    ) -> (held: Bool, number: Int, collected: Bool) {
      let hiding = Hiding()
      let group = WaitGroup()
      var ends: (CInt, CInt) = (0, 0)
      withUnsafeMutablePointer(to: &ends) { pointer in
        _ = pointer.withMemoryRebound(to: CInt.self, capacity: 2) { pipe($0) }
      }
      let (output, input) = ends
      group.go {
        withHeap { heap in
          let hidden = hiding.makeHidden(heap, asNumber: asNumber)
          stress_wipe_stack()
          hiding.thread = CInt(apus_gettid())
          if isTold { Syscall.enter() }
          let same = stress_hold(hidden, CInt(place), hiding.holds, hiding.ends, output)
          if isTold { Syscall.exit() }
          // Where the machine has no such place there is nothing to find.
          if same == 0 { hiding.result = 4711 } else { hiding.find(same, heap, asNumber: asNumber) }
        }
      }
      while hiding.holds.pointee == 0 { Goroutine.yield() }
      // In the kernel by now, or soon.
      if place == Int(STRESS_SLEEPING) { Goroutine.sleep(for: .milliseconds(50)) }
      if let handler {
        stress_interrupt(hiding.thread, CInt(handler))
        while stress_is_interrupted() == 0 { Goroutine.yield() }
      }
      for _ in 0..<3 {
        ManagedHeap.collect()
        withHeap { heap in for number in 0..<3000 { _ = heap.new(Held(number: number)) } }
      }
      let held = !hiding.wasCollected
      if handler != nil { stress_resume() }
      hiding.ends.pointee = 1
      var byte: UInt8 = 1
      write(input, &byte, 1)
      group.wait()
      close(output)
      close(input)
      // It was the register, and nothing else.
      ManagedHeap.collect()
      return (held, hiding.result, hiding.wasCollected)
    }

    #if arch(x86_64)
      @Test(arguments: [
        Int(STRESS_SAVED_REGISTER), Int(STRESS_SCRATCH_REGISTER), Int(STRESS_VECTOR), Int(STRESS_WIDE_VECTOR),
      ])
      func registersAreLookedAt(place: Int) {
        let seen = Self.hold(place)
        #expect(seen.held && seen.number == 4711 && seen.collected, "\(seen)")
      }

      /// As between the two instructions that make an object's address of a link.
      @Test(arguments: [Int(STRESS_SAVED_REGISTER), Int(STRESS_SCRATCH_REGISTER)])
      func numbersInRegistersAreLookedAt(place: Int) {
        let seen = Self.hold(place, asNumber: true)
        #expect(seen.held && seen.number == 4711 && seen.collected, "\(seen)")
      }

      /// A handler that uses the register itself: what was in it lies in the signal's frame, on the goroutine's own stack
      /// or on the signal stack.
      @Test(arguments: [false, true], [Int(STRESS_ON_ITS_STACK), Int(STRESS_ON_THE_SIGNAL_STACK)])
      func registersUnderHandlersAreLookedAt(asNumber: Bool, handler: Int) {
        let seen = Self.hold(Int(STRESS_SAVED_REGISTER), asNumber: asNumber, in: handler)
        #expect(seen.held && seen.number == 4711 && seen.collected, "\(seen)")
      }

      @Test(arguments: [false, true])
      func registersOfSleepersAreLookedAt(isTold: Bool) {
        let seen = Self.hold(Int(STRESS_SLEEPING), isTold: isTold)
        #expect(seen.held && seen.number == 4711 && seen.collected, "\(seen)")
      }
    #endif

    private final class Ending: Sendable {
      let hasCome = Atomic<Bool>(false)
    }

    @Test func aHogsReferencesLive() {
      let before = ManagedHeap.statistics.collections
      let ending = Ending()
      let sums = Channel<Int>(capacity: 4)
      for number in 0..<4 {
        go { heap in
          let array = heap.newArray(0..<64)
          let list = heap.new(Held(number: number))
          for value in 0..<64 {
            let next = heap.new(Held(number: value))
            next.next = list.next
            list.next = next
          }
          var rounds = 0
          var sum = 0
          // No call of the runtime in here.
          while !ending.hasCome.load(ordering: .relaxed) || rounds == 0 {
            rounds += 1
            sum = 0
            for index in array.indices { sum += array[index] }
            var node = list.next
            while let current = node {
              sum += current.number
              node = current.next
            }
            if sum != 2 * 2016 { break }
          }
          sums.send(sum)
        }
      }
      let end = ContinuousClock.now + .milliseconds(300)
      withHeap { heap in
        while ContinuousClock.now < end {
          for number in 0..<1000 { _ = heap.new(Held(number: number)) }
          ManagedHeap.collect()
        }
      }
      ending.hasCome.store(true, ordering: .relaxed)
      for _ in 0..<4 { #expect(sums.receive() == 4032) }
      #expect(ManagedHeap.statistics.collections > before)
    }

    /// The goroutine has tested the barrier's flag before the cycle, is stopped, and stores in the middle of it.
    @Test func aStoreThatWasTestedBeforeTheCycleIsSafe() {
      #expect(payloadSurvivesALateStore(seesMark: false))
    }

    /// The mark that it sees is the one of a cycle that ends before it stores.
    @Test func aStoreThatSawAMarkInTheCycleBeforeIsSafe() {
      #expect(payloadSurvivesALateStore(seesMark: true))
    }

    /// A goroutine moves the payload to the first object when only the first ones are scanned. Where it `seesMark`, it has
    /// asked for that of the payload twice, the second time in vain, in a whole cycle before.
    private func payloadSurvivesALateStore(seesMark: Bool) -> Bool {
      typealias Chain = Moving.Chain
      return DrivenCollector.run {
        let setting = Moving.Setting.make(length: 5000)
        let (holds, looks, looked, ends) = (Ending(), Ending(), Ending(), Ending())
        let group = WaitGroup()
        group.go {
          withHeap { heap in
            setting.withEnds(heap) { first, last in
              let payload = last.other!
              let place = first.address + MemoryLayout<Chain>.offset(of: \.other)!
              holds.hasCome.store(true, ordering: .releasing)
              if seesMark {
                while !looks.hasCome.load(ordering: .acquiring) {}
                Barrier.shade(UInt(bitPattern: payload.address))
                Barrier.shade(UInt(bitPattern: payload.address))
                looked.hasCome.store(true, ordering: .releasing)
              }
              while !ends.hasCome.load(ordering: .acquiring) {}
              apus_store_link(place, UInt(bitPattern: payload.address))
              last.other = nil
            }
          }
        }
        while !holds.hasCome.load(ordering: .acquiring) { Goroutine.yield() }
        if seesMark {
          DrivenCollector.begin()
          looks.hasCome.store(true, ordering: .releasing)
          while !looked.hasCome.load(ordering: .acquiring) { Goroutine.yield() }
          DrivenCollector.end()
        }
        DrivenCollector.begin()
        // The first objects are scanned, the last ones are not.
        DrivenCollector.mark(100 * 24)
        ends.hasCome.store(true, ordering: .releasing)
        group.wait()
        DrivenCollector.end()
        return setting.payloadLives()
      }
    }

    @Test func theHelperCollectsWhenNobodyDoes() {
      let collector = Collector.collector
      withHeap { heap in _ = heap.new(Held(number: 1)) }
      ManagedHeap.collect()
      let before = ManagedHeap.statistics.collections
      collector.pointee.forcePeriod.store(50_000_000, ordering: .relaxed)
      defer { collector.pointee.forcePeriod.store(ForcedCollection.standardPeriod, ordering: .relaxed) }
      // sysmon calls for it. While all processors are idle it looks once a minute only.
      let seen = Shared(false)
      onAnotherStack { _ in seen.value = eventually { ManagedHeap.statistics.collections > before } }
      #expect(seen.value)
    }
  }
}
