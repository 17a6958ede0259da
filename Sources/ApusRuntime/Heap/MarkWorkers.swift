import CApus
import Synchronization

/// The background workers (Go's `gcBgMarkWorker`): goroutines of the runtime that mark, as many as there are Ps. Together
/// they take a quarter of the processors' time, and whatever the program leaves idle.
///
/// When a worker finds nothing to mark, it tries to end the cycle, unless somebody is marking at that moment. That is
/// another worker, who will try in his turn; or somebody who allocates, and who afterwards wakes a worker if all of them
/// have gone to sleep. So there is always somebody to try.
///
/// Go has its scheduler give a worker a P by the share that is due. Here a worker that has had more than its share, while
/// others wait to run, sleeps until the share is right again; so it needs nothing of the scheduler.
struct MarkWorkers: ~Copyable {
  /// Goroutines that exist.
  private let started = Atomic<Int>(0)
  /// Those that are awake, or have a unit of `work` to wake by. A worker lowers it before it looks whether it was the last
  /// one, so that whoever has work wakes it again.
  private let awake = Atomic<Int>(0)
  private let work = SemaphoreRoot(0)
  /// How long one marks before it looks around, in nanoseconds.
  private static var slice: Int64 { 100_000 }
  private static var sectionBytes: Int { 32 << 10 }

  init() {}

  private static var workers: UnsafePointer<MarkWorkers> {
    withUnsafePointer(to: Collector.collector.pointee.workers) { $0 }
  }

  /// A test wants no worker to mark. One that was woken before may still do so until `areAtRest`.
  private static var areOff: Bool { Collector.collector.pointee.workersAreOff.load(ordering: .sequentiallyConsistent) }

  /// All that exist wait for work.
  package static var areAtRest: Bool {
    workers.pointee.work.waiterCount == workers.pointee.started.load(ordering: .relaxed)
  }

  /// There is something to mark: wakes as many as there are Ps, making them first.
  static func wake() {
    if areOff { return }
    let wanted = Int(sched.pointee.maxProcs.load(ordering: .relaxed))
    var have = workers.pointee.started.load(ordering: .relaxed)
    while have < wanted {
      let result = workers.pointee.started.compareExchange(expected: have, desired: have + 1, ordering: .relaxed)
      have = result.exchanged ? have + 1 : result.original
      if result.exchanged { SystemGoroutine.start { MarkWorkers.run() } }
    }
    var awake = workers.pointee.awake.load(ordering: .relaxed)
    while awake < wanted {
      let result = workers.pointee.awake.compareExchange(
        expected: awake, desired: wanted, ordering: .acquiringAndReleasing)
      if result.exchanged {
        workers.pointee.work.release(wanted - awake)
        return
      }
      awake = result.original
    }
  }

  /// After somebody has marked who is no worker.
  static func wakeIfAllSleep() {
    if workers.pointee.awake.load(ordering: .sequentiallyConsistent) == 0 && apus_is_marking() != 0 { wake() }
  }

  private static func run() {
    while true {
      workers.pointee.work.acquire(1, .markWorkerIdle)
      while markForASlice() { giveWay() }
      workers.pointee.awake.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      if areOff { continue }
      // What runs meanwhile is noted when it stops, and the pause has less to look at (`StackNotes`).
      if MarkWork.isDone && Collector.isLeftToWorkers { Park.yield() }
      if MarkWork.isDone { _ = Collector.finish(waits: true) } else if MarkWork.hasWork { wake() }
    }
  }

  /// False when there is nothing to mark.
  private static func markForASlice() -> Bool {
    if apus_is_marking() == 0 || areOff { return false }
    var hasMore = true
    // What it takes is not what the clock says: between two sections the thread may be stopped for long, and others mark
    // meanwhile.
    let (start, end) = (Clock.threadTime(), Clock.nanotime() + slice)
    repeat {
      let done = Assist.mark(sectionBytes, leavesRest: false, &hasMore)
      heap.pointee.pacer.credit.wrappingAdd(done, ordering: .relaxed)
    } while hasMore && Clock.nanotime() < end
    heap.pointee.pacer.workerTime.wrappingAdd(Clock.threadTime() - start, ordering: .relaxed)
    return hasMore
  }

  /// When the workers will have had no more than their share.
  private static var dueTime: Int64 {
    let share = Pacer.backgroundShare * Double(sched.pointee.maxProcs.load(ordering: .relaxed))
    let spent = Double(heap.pointee.pacer.workerTime.load(ordering: .relaxed))
    return Collector.collector.pointee.figures.markStart + Int64(spent / share)
  }

  /// Sleeps while the workers have had too much and somebody waits for a P; else lets those on this P go first.
  private static func giveWay() {
    let due = dueTime
    if due > Clock.nanotime() && somebodyWaits {
      Timers.sleep(until: min(due, Clock.nanotime() + 5_000_000))
    } else {
      Park.yield()
    }
  }

  /// Whether a goroutine is on any queue: it would run in the worker's place.
  private static var somebodyWaits: Bool {
    if !GlobalQueue.isEmpty { return true }
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .acquiring)) {
      guard let p = sched.pointee.allP[index] else { break }
      if !p.pointee.queue.isEmpty { return true }
    }
    return false
  }
}
