@testable import ApusRuntime
import CApus
import Synchronization
import Testing

/// What becomes of the goroutines in a processor's queue. In processes of their own: the number of processors is theirs.
@Suite struct ProcessorTests {
  private final class Flag: Sendable {
    let isSet = Atomic<Bool>(false)

    /// Does not let go of the processor meanwhile.
    func spin() -> Bool {
      let end = Clock.nanotime() + 30_000_000_000
      while !isSet.load(ordering: .acquiring) {
        if Clock.nanotime() > end { return false }
      }
      return true
    }
  }

  /// A goroutine that is ready to run and on no queue.
  private static func prepare(_ body: @escaping @Sendable () -> Void) -> GRef {
    struct Payload {
      let body: @Sendable () -> Void
    }
    let g = Spawn.allocate()
    g.payloadAddress.bindMemory(to: Payload.self, capacity: 1).initialize(to: Payload(body: body))
    g.entryAddress.initialize(to: Entry { $0.assumingMemoryBound(to: Payload.self).move().body() })
    g.pointee.setStatus(.runnable)
    return g
  }

  /// What the running goroutine made ready is run elsewhere when it goes on for long.
  @Test func anIdleProcessorTakesWhatIsNext() async {
    await #expect(processExitsWith: .success) {
      MaxProcs.set(2)
      let flag = Flag()
      let wasRun = onGoroutine {
        startGoroutine { flag.isSet.store(true, ordering: .releasing) }
        return flag.spin()
      }
      precondition(wasRun)
    }
  }

  /// Every goroutine behind one that does not let go.
  @Test func idleProcessorsTakeWhatIsQueued() async {
    await #expect(processExitsWith: .success) {
      MaxProcs.set(3)
      let (flag, ended) = (Flag(), SemaphoreBox())
      let wasRun = onGoroutine {
        for number in 0..<50 {
          startGoroutine {
            if number == 0 { flag.isSet.store(true, ordering: .releasing) }
            ended.release()
          }
        }
        return flag.spin()
      }
      precondition(wasRun)
      for _ in 0..<50 { ended.acquire(.semaphore) }
    }
  }

  /// A change of processors loses nothing that is queued: neither on those that go nor on those that stay.
  @Test(arguments: [1, 2, 4, 6])
  func queuedGoroutinesSurviveAChange(procs: Int) async {
    await #expect(processExitsWith: .success) { [procs] in
      MaxProcs.set(4)
      let ended = SemaphoreBox()
      let goroutines = (0..<200).map { _ in UInt(bitPattern: Self.prepare { ended.release() }) }
      StopTheWorld.run { _ in
        for (index, address) in goroutines.enumerated() {
          OwnerQueue(sched.pointee.allP[index % 4]!).put(GRef(bitPattern: address)!)
        }
        sched.pointee.nextMaxProcs = procs
      }
      for _ in 0..<200 { ended.acquire(.semaphore) }
      precondition(MaxProcs.current == procs)
    }
  }

  /// Threads that stand still keep their CPUs for a moment where there is one for each, and one for who stops them and, as
  /// here, has no P.
  @Test func theySpinWhereThereAreCPUs() async {
    await #expect(processExitsWith: .success) {
      let spin = Atomic<Int64>(-1)
      let cpus = MaxProcs.cpuCount
      for procs in [cpus, cpus + 1] + (cpus > 1 ? [cpus - 1] : []) {
        MaxProcs.set(procs)
        StopTheWorld.run { _ in spin.store(sched.pointee.head.stopSpin.load(ordering: .relaxed), ordering: .relaxed) }
        precondition(spin.load(ordering: .relaxed) == (procs < cpus ? 200_000 : 0), "\(procs) of \(cpus)")
      }
    }
  }
}
