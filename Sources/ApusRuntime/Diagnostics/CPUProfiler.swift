import CApus
import Synchronization

/// Where threads spend their CPU time: each has a timer of its own that sends it SIGPROF (Go's `setcpuprofilerate`; the
/// samples are counted in CApus/Diagnostics/cpu_profile.c).
///
/// A timer is made by the profile's beginning for threads that are there, and by each thread that begins while it lasts. Who
/// makes or takes away a timer claims `M.profileTimer` first. A beginning thread claims it and then looks whether there
/// is a profile; who begins or ends a profile says so and then looks at all threads, and waits for a claim of another: so
/// no thread is missed, and no timer stays.
package enum CPUProfiler {
  struct State: ~Copyable {
    /// A profile is being begun, is under way, or is being ended.
    let isBusy = Atomic<Bool>(false)
    /// It has begun and nobody ends it yet.
    let isUnderWay = Atomic<Bool>(false)
    /// Threads are sampled after so many nanoseconds of CPU time; 0 for not at all.
    let period = Atomic<Int64>(0)
  }

  /// The values of `M.profileTimer` that are no timer's number.
  private static var noTimer: Int32 { -1 }
  /// Somebody makes one or takes one away, in a section of the runtime.
  private static var claimed: Int32 { -2 }
  /// There is no thread, or none that may have one.
  static var noThread: Int32 { -3 }

  /// What a profile has found.
  package struct Samples {
    /// Stacks, and the number of periods for which a thread was there.
    package var samples: [StackSample] = []
    /// How many periods there are no stacks for: there were too many different ones.
    package var lost: UInt64 = 0
    /// In nanoseconds.
    package var period: Int64 = 0
  }

  /// Begins a profile; false when there is one. `period`: above 0, in nanoseconds.
  package static func start(period: Int64) -> Bool {
    LazyStart.ensure()
    if sched.pointee.profiler.isBusy.exchange(true, ordering: .acquiring) { return false }
    if apus_profile_begin() < 0 { FatalReport.fatalError("runtime: the system refuses a CPU profile") }
    sched.pointee.profiler.period.store(period, ordering: .sequentiallyConsistent)
    eachThread { m in
      if claim(m, from: noTimer) { startTimer(m, period) }
    }
    sched.pointee.profiler.isUnderWay.store(true, ordering: .releasing)
    return true
  }

  /// Ends the profile and returns its samples; nil when there is none, or somebody else ends it.
  package static func stop() -> Samples? {
    LazyStart.ensure()
    if !sched.pointee.profiler.isUnderWay.exchange(false, ordering: .acquiring) { return nil }
    var result = Samples()
    result.period = sched.pointee.profiler.period.exchange(0, ordering: .sequentiallyConsistent)
    eachThread { stopTimer($0, leaving: noTimer) }
    apus_profile_end()
    if let samples = apus_profile_samples() {
      result.samples = StackSample.all(of: samples)
      result.lost = apus_samples_lost(samples)
    }
    apus_profile_release()
    sched.pointee.profiler.isBusy.store(false, ordering: .releasing)
    return result
  }

  /// The calling thread, that of `m`, begins.
  static func threadBegins(_ m: MRef) {
    m.pointee.profileTimer.store(claimed, ordering: .sequentiallyConsistent)
    let period = sched.pointee.profiler.period.load(ordering: .sequentiallyConsistent)
    if period > 0 {
      startTimer(m, period)
    } else {
      m.pointee.profileTimer.store(noTimer, ordering: .sequentiallyConsistent)
    }
  }

  /// The calling thread, that of `m`, ends.
  static func threadEnds(_ m: MRef) {
    stopTimer(m, leaving: noThread)
  }

  private static func eachThread(_ body: (MRef) -> Void) {
    var threads = ThreadRecords()
    while let m = threads.next() {
      // In a section: who waits for a claim has a P, perhaps the one that this thread would need to go on.
      let own = acquireM()
      body(m)
      releaseM(own)
    }
  }

  /// Claims the timer of `m` if its word is `value`; waits for other claims.
  private static func claim(_ m: MRef, from value: Int32) -> Bool {
    while true {
      let result = m.pointee.profileTimer.compareExchange(
        expected: value, desired: claimed, ordering: .sequentiallyConsistent)
      if result.exchanged { return true }
      if result.original != claimed { return false }
      Thread.yield()
    }
  }

  private static func startTimer(_ m: MRef, _ period: Int64) {
    let timer = apus_profile_timer_start(m.pointee.head.tid, period)
    m.pointee.profileTimer.store(timer >= 0 ? timer : noTimer, ordering: .sequentiallyConsistent)
  }

  private static func stopTimer(_ m: MRef, leaving value: Int32) {
    while true {
      let timer = m.pointee.profileTimer.load(ordering: .sequentiallyConsistent)
      if timer == noThread || timer == value { return }
      guard claim(m, from: timer) else { continue }
      if timer >= 0 { apus_profile_timer_stop(timer) }
      m.pointee.profileTimer.store(value, ordering: .sequentiallyConsistent)
      return
    }
  }
}
