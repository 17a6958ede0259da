@testable import ApusRuntime
import CApus
import Glibc
import Synchronization
import Testing

/// A thread of the operating system that does one thing until it is let go.
private final class BusyThread: @unchecked Sendable {
  // Unchecked: the ends of the pipe are written before the thread starts.
  private let number = Atomic<Int32>(0)
  private let isOver = Atomic<Bool>(false)
  private var ends: [CInt] = [0, 0]
  private var thread = pthread_t()

  enum Task {
    case sleeps
    case computes
  }

  init(_ task: Task) {
    precondition(pipe(&ends) == 0, "no pipe for a test")
    let me = Unmanaged.passUnretained(self)
    let error = pthread_create(
      &thread, nil,
      task == .sleeps
        ? { argument in
          let me = Unmanaged<BusyThread>.fromOpaque(argument!).takeUnretainedValue()
          me.number.store(apus_gettid(), ordering: .releasing)
          var byte: UInt8 = 0
          _ = read(me.ends[0], &byte, 1)
          return nil
        }
        : { argument in
          let me = Unmanaged<BusyThread>.fromOpaque(argument!).takeUnretainedValue()
          me.number.store(apus_gettid(), ordering: .releasing)
          while !me.isOver.load(ordering: .relaxed) {}
          return nil
        }, me.toOpaque())
    precondition(error == 0, "no thread for a test")
    while number.load(ordering: .acquiring) == 0 { usleep(100) }
  }

  var id: Int32 { number.load(ordering: .relaxed) }

  func end() {
    isOver.store(true, ordering: .relaxed)
    close(ends[1])
    pthread_join(thread, nil)
    close(ends[0])
  }
}

/// Runs `body` with a thread; ends it afterwards.
private func with<Value>(_ task: BusyThread.Task, _ body: (Int32) -> Value) -> Value {
  let thread = BusyThread(task)
  defer { thread.end() }
  return body(thread.id)
}

/// Whether `condition` comes to hold within some seconds.
private func comesTrue(_ condition: () -> Bool) -> Bool {
  for _ in 0..<5000 {
    if condition() { return true }
    usleep(1000)
  }
  return false
}

/// Whether the kernel is asked, and understood, right.
@Suite struct ThreadStateTests {
  private func bySyscall(_ id: Int32) -> Int32 { apus_thread_state_by_syscall(id) }

  @Test func aThreadThatSleepsIsKnown() {
    with(.sleeps) { id in
      #expect(comesTrue { bySyscall(id) == Int32(APUS_THREAD_SLEEPS) })
      #expect(comesTrue { apus_thread_state_by_stat(id) == Int32(APUS_THREAD_SLEEPS) })
    }
  }

  @Test func aThreadThatComputesIsKnown() {
    with(.computes) { id in
      for _ in 0..<1000 {
        #expect(bySyscall(id) == Int32(APUS_THREAD_RUNS))
        #expect(apus_thread_state_by_stat(id) == Int32(APUS_THREAD_RUNS))
      }
    }
  }

  @Test func aThreadThatHasEndedIsUnknown() {
    let id = with(.sleeps) { $0 }
    #expect(comesTrue { bySyscall(id) == Int32(APUS_THREAD_UNKNOWN) })
    #expect(apus_thread_state_by_stat(id) == Int32(APUS_THREAD_UNKNOWN))
  }

  /// What a program counts among its own descriptors has to be its own.
  @Test func noDescriptorIsKept() {
    with(.sleeps) { id in
      // The lowest that is free: others may take some meanwhile, but not a thousand.
      let before = dup(0)
      close(before)
      for _ in 0..<1000 { _ = (bySyscall(id), apus_thread_state_by_stat(id)) }
      let after = dup(0)
      close(after)
      #expect(after < before + 500)
    }
  }

  @Test func theBestSourceIsTaken() {
    with(.sleeps) { id in
      let m = ThreadRecord.map().m
      m.pointee.head.tid = id
      #expect(ThreadState.probe(m) == .syscallFile)
      m.pointee.head.tid = Int32.max
      #expect(ThreadState.probe(m) == .none)
    }
  }
}

/// Taking a P from a thread that sleeps, from records that no scheduler knows.
@Suite struct ClaimTests {
  /// An M of the thread `id` with a P.
  private func holder(_ id: Int32) -> (m: MRef, p: PRef) {
    let m = ThreadRecord.map().m
    m.pointee.head.tid = id
    let p = FakeRecords.processor()
    p.pointee.status = .idle
    Processors.acquire(p, for: m)
    return (m, p)
  }

  private func claim(_ m: MRef) -> UInt32 { m.pointee.words.claim.load(ordering: .relaxed) }

  private func take(
    _ holder: (m: MRef, p: PRef), told: Bool = false, as state: Claim.State = .claimedBySysmon
  ) -> Bool {
    nonisolated(unsafe) let holder = holder
    return onGoroutine {
      let thief = acquireM()
      defer { releaseM(thief) }
      return Claim.take(holder.p, from: holder.m, told: told, as: state, on: thief)
    }
  }

  /// Nothing has changed.
  private func expectHeld(_ holder: (m: MRef, p: PRef)) {
    #expect(claim(holder.m) == UInt32(APUS_P_HELD))
    #expect(holder.m.pointee.p == holder.p)
    #expect(holder.p.pointee.m == holder.m)
    #expect(holder.p.pointee.status == .running)
  }

  @Test(arguments: [Claim.State.claimedBySysmon, .claimedByStopper])
  func theProcessorOfASleeperIsTaken(state: Claim.State) {
    with(.sleeps) { id in
      let holder = holder(id)
      #expect(comesTrue { take(holder, as: state) })
      #expect(claim(holder.m) == UInt32(APUS_P_LOST))
      #expect(holder.m.pointee.p == nil)
      #expect(holder.p.pointee.m == nil)
      #expect(holder.p.pointee.status == .idle)
    }
  }

  @Test func whoComputesKeepsIt() {
    with(.computes) { id in
      let holder = holder(id)
      for _ in 0..<100 { #expect(!take(holder)) }
      expectHeld(holder)
    }
  }

  @Test func whoIsInTheRuntimeKeepsIt() {
    with(.sleeps) { id in
      let holder = holder(id)
      holder.m.pointee.head.locks = 1
      usleep(20_000)
      #expect(!take(holder))
      holder.m.pointee.head.told = 1
      #expect(!take(holder, told: true))
      expectHeld(holder)
    }
  }

  /// Who has said that it may sleep is believed.
  @Test func aWordIsEnough() {
    with(.computes) { id in
      let holder = holder(id)
      #expect(!take(holder, told: true))
      expectHeld(holder)
      holder.m.pointee.head.told = 1
      #expect(take(holder, told: true))
      #expect(claim(holder.m) == UInt32(APUS_P_LOST))
    }
  }

  @Test func anotherProcessorIsNotTaken() {
    with(.sleeps) { id in
      let holder = holder(id)
      usleep(20_000)
      #expect(!take((holder.m, FakeRecords.processor())))
      expectHeld(holder)
    }
  }

  @Test func aClaimOfSomebodyElseIsLeft() {
    with(.sleeps) { id in
      let holder = holder(id)
      usleep(20_000)
      holder.m.pointee.words.claim.store(UInt32(APUS_P_CLAIMED_BY_STOPPER), ordering: .relaxed)
      #expect(!take(holder))
      #expect(claim(holder.m) == UInt32(APUS_P_CLAIMED_BY_STOPPER))
      #expect(holder.m.pointee.p == holder.p)
    }
  }

  /// The owner is back before the claim was carried through.
  @Test(arguments: [APUS_P_CLAIMED_BY_SYSMON, APUS_P_CLAIMED_BY_STOPPER])
  func theOwnerTakesAClaimBack(value: Int) {
    let holder = holder(0)
    holder.m.pointee.words.claim.store(UInt32(value), ordering: .relaxed)
    holder.m.enter()
    #expect(holder.m.pointee.head.locks == 1)
    expectHeld(holder)
    // Deeper inside nothing is looked at.
    holder.m.pointee.words.claim.store(UInt32(value), ordering: .relaxed)
    holder.m.enter()
    #expect(claim(holder.m) == UInt32(value))
  }
}

/// Every source of what threads do serves, in a program that runs.
@Suite(.serialized) struct SourceTests {
  @Test(arguments: [ThreadState.Source.syscallFile, .statFile])
  func blocksAreFoundByEachSource(source: ThreadState.Source) {
    LazyStart.ensure()
    // sysmon chooses when it starts.
    onGoroutine { _ = usleep(50_000) }
    let before = sched.pointee.threadStateSource.exchange(source.rawValue, ordering: .relaxed)
    defer { sched.pointee.threadStateSource.store(before, ordering: .relaxed) }
    let processors = MaxProcs.current
    let blocks = sched.pointee.untoldBlocks.load(ordering: .relaxed)
    onGoroutine {
      let ended = SemaphoreBox()
      for _ in 0..<2 * processors {
        startGoroutine {
          for _ in 0..<5 { usleep(20_000) }
          ended.release()
        }
      }
      for _ in 0..<2 * processors { ended.acquire(.semaphore) }
    }
    #expect(sched.pointee.untoldBlocks.load(ordering: .relaxed) > blocks)
  }

  @Test func withoutASourceNothingIsFound() {
    LazyStart.ensure()
    onGoroutine { _ = usleep(50_000) }
    let before = sched.pointee.threadStateSource.exchange(ThreadState.Source.none.rawValue, ordering: .relaxed)
    defer { sched.pointee.threadStateSource.store(before, ordering: .relaxed) }
    with(.sleeps) { id in
      let m = ThreadRecord.map().m
      m.pointee.head.tid = id
      usleep(20_000)
      #expect(!ThreadState.sleeps(m))
      #expect(!ThreadState.sleepsInOrder(m))
    }
  }
}
