import CApus
import Synchronization

/// The collector: concurrent, marking, not moving (Go's `gcStart`, `gcMarkDone`, `gcMarkTermination`).
///
/// A cycle is: all blocks are swept; the world stops for a moment, and the barrier is on (`begin`); background workers and
/// those who allocate mark; when nothing grey is left, the world stops again, the stacks that ran meanwhile are scanned,
/// and if that brings nothing new, or little, everything that is not marked is garbage (`finish`). If it brings much, the
/// world goes on and so does the marking. Sweeping is done afterwards, block by block.
///
/// The steps of a cycle are taken by whoever finds that it is time: a goroutine that allocates, or a worker. Nothing here
/// waits for a goroutine of the collector's own.
struct Collector: ~Copyable {
  /// The number of cycles begun; also the stamp of scanned stacks. And of those that have ended.
  let cycle = Atomic<UInt32>(0)
  let ended = Atomic<UInt32>(0)
  /// A cycle is on, or somebody is about to begin one.
  let isRunning = Atomic<Bool>(false)
  /// Somebody tries to end it.
  let isEnding = Atomic<Bool>(false)
  /// Roots of this cycle that nobody has marked yet.
  let rootSlabs = Atomic<UnsafeMutablePointer<UInt>?>(nil)
  /// Those who wait for the end of a cycle.
  let waiters = NotifyList()
  /// How many of them keep their thread (`waitInPlace`), or did until then and have no processor yet.
  let waitingInPlace = Atomic<Int>(0)
  /// False while a test drives the collector by itself: no cycle begins, and nobody helps.
  let isAutomatic = Atomic<Bool>(true)
  let assistsAreOff = Atomic<Bool>(false)
  let workersAreOff = Atomic<Bool>(false)
  /// The collector's goroutines were started (Go's `memstats.enablegc`).
  let isEnabled = Atomic<Bool>(false)
  let hasHelper = Atomic<Bool>(false)
  let workers = MarkWorkers()
  /// When the last cycle ended, or the heap was first used; 0 before.
  let lastEnd = Atomic<Int64>(0)
  /// Without a cycle for so many nanoseconds, the helper makes one.
  let forcePeriod = Atomic<Int64>(ForcedCollection.standardPeriod)
  let helper = SemaphoreRoot(0)
  let helperIsAwake = Atomic<Bool>(true)

  // Written while the world stands still.
  var figures = CycleFigures()
  var totals = HeapTotals()
  var scannedThreads = ScannedThreads()
  /// How often the end of this cycle was tried.
  var attempts = 0

  init() {}

  /// Why a cycle begins.
  enum Reason {
    /// The heap has grown to its trigger.
    case size
    /// Somebody asked for it.
    case forced
    /// There was none for two minutes.
    case time
  }

  static var collector: UnsafeMutablePointer<Collector> {
    withUnsafeMutablePointer(to: &heap.pointee.collector) { $0 }
  }

  static var rootSlabs: UnsafePointer<Atomic<UnsafeMutablePointer<UInt>?>> {
    withUnsafePointer(to: collector.pointee.rootSlabs) { $0 }
  }

  /// How long the world stands still for parked stacks and for marking, in nanoseconds, before it is let go on. What the
  /// stacks of threads take counts when a cycle begins, and not when it is to end.
  static var pauseBudget: Int64 { 150_000 }
  /// How often the end of a cycle is tried with that budget.
  private static var triesWithBudget: Int { 32 }

  /// What everybody who allocates does between two blocks: begins a cycle, or helps with one, and waits for the destruction of
  /// dead objects where that has fallen behind. The caller is in no section.
  /// `bytes`: what it is about to allocate besides what its P has on record.
  static func poll(owing bytes: Int = 0) {
    Cleanup.wake()
    if apus_is_marking() != 0 {
      Assist.pay(owing: bytes)
    } else if Pacer.wantsCycle && !start(.size) {
      waitForBeginning()
    }
    CleanupPace.poll()
  }

  /// Somebody else is about to begin a cycle, or has stopped the world. While the heap is larger than it should be, nobody
  /// allocates until that is done: it takes microseconds, but the thread may have lost its processor to another process.
  private static func waitForBeginning() {
    while Pacer.wantsCycle && heap.pointee.pacer.isBeyondGoal && apus_is_marking() == 0
      && collector.pointee.isAutomatic.load(ordering: .relaxed) && !start(.size)
    {
      // Whoever it is may wait for this processor, or, stopped by the kernel, for its own.
      LockedThread.lockCurrent()
      Park.yield()
      LockedThread.unlockCurrent()
      Thread.yield()
    }
  }

  /// The heap is used for the first time, perhaps: the two minutes of `ForcedCollection` begin.
  static func noteUse() {
    _ = collector.pointee.lastEnd.compareExchange(expected: 0, desired: Clock.nanotime(), ordering: .relaxed)
  }

  /// Begins a cycle; false when one is on already, or it is not its time.
  ///
  /// From where the caller is the one who begins it until the world goes on it is in one section: were it stopped there,
  /// nobody else could begin one, and everybody would allocate until its turn has come.
  @inline(never)
  static func start(_ reason: Reason) -> Bool {
    if !collector.pointee.isAutomatic.load(ordering: .relaxed) && reason != .forced { return false }
    while true {
      Sweeper.finish()
      let m = acquireM()
      if collector.pointee.isRunning.exchange(true, ordering: .acquiringAndReleasing) {
        releaseM(m)
        return false
      }
      let isWanted = reason != .size || Pacer.wantsCycle
      // Somebody else may have stopped the world: the next one who allocates tries again.
      if isWanted && Sweeper.isDone && StopTheWorld.claim(waits: false) {
        begin(reason, claimedBy: m)
        return true
      }
      let isAgain = isWanted && !Sweeper.isDone
      collector.pointee.isRunning.store(false, ordering: .releasing)
      releaseM(m)
      // Another cycle has ended since the blocks were swept.
      if !isAgain { return false }
    }
  }

  /// Begins the cycle, by whoever is to stop the world, in a section of `m`, which ends.
  private static func begin(_ reason: Reason, claimedBy m: MRef) {
    if Trace.isOn { Trace.beginCollection() }
    var step = Step(reason: reason)
    SystemStack.run(&step) { argument in
      let step = argument.unsafelyUnwrapped.assumingMemoryBound(to: Step.self)
      StopTheWorld.runClaimed(.references, for: .beginningOfCollection) { m in
        Collector.begin(step.pointee.reason, on: m)
        if Collector.marksAtOnce {
          while !Collector.tryToEnd(isLast: true, on: m) {}
          step.pointee.ended = Collector.takeFigures()
        }
      }
    }
    releaseM(m)
    if let ended = step.ended { afterEnd(ended) } else { MarkWorkers.wake() }
  }

  /// What is done while the world stands still.
  private struct Step {
    var reason = Reason.size
    /// The cycle's figures, if it has ended.
    var ended: CycleFigures?
  }

  /// GODEBUG=gcstoptheworld=1.
  private static var marksAtOnce: Bool { sched.pointee.knobs.gcstoptheworld != 0 }

  /// The world stands still.
  private static func begin(_ reason: Reason, on m: MRef) {
    let now = Clock.nanotime()
    let asked = sched.pointee.stopAsked
    flushCaches(on: m)
    HeapCheck.run(.beforeMarking, on: m)
    collector.pointee.cycle.wrappingAdd(1, ordering: .relaxed)
    collector.pointee.attempts = 0
    collector.pointee.figures = CycleFigures(reason: reason, start: asked)
    collector.pointee.figures.atStart = heap.pointee.pacer.live.load(ordering: .relaxed)
    heap.pointee.pacer.begin()
    collector.pointee.rootSlabs.store(RootTable.newestSlab(), ordering: .relaxed)
    apus_set_marking(1)
    // Stacks of goroutines that were stopped in their own code have to be scanned now (`Barrier`), others may be.
    var marker = Marker(stopper: m)
    var bytes = StackRoots.scanThreads(with: &marker, stopper: m)
    _ = StackRoots.scanParked(with: &marker, until: now + pauseBudget, bytes: &bytes)
    collector.pointee.figures.stackBytes = bytes
    marker.endSharing()
    collector.pointee.figures.markStart = Clock.nanotime()
    collector.pointee.figures.firstPause = collector.pointee.figures.markStart - asked
  }

  /// The cycle ends if there is nothing left to mark; true when it has ended. The caller found nothing, and is in no
  /// section. `waits`: it may wait for others who stop the world.
  @inline(never)
  static func finish(waits: Bool) -> Bool {
    if collector.pointee.isEnding.exchange(true, ordering: .acquiringAndReleasing) { return false }
    if apus_is_marking() == 0 {
      collector.pointee.isEnding.store(false, ordering: .releasing)
      return true
    }
    var step = Step()
    if StopTheWorld.claim(waits: waits) {
      let m = acquireM()
      SystemStack.run(&step) { argument in
        let step = argument.unsafelyUnwrapped.assumingMemoryBound(to: Step.self)
        StopTheWorld.runClaimed(.references, for: .endOfCollection) { m in
          if Collector.tryToEnd(isLast: false, on: m) { step.pointee.ended = Collector.takeFigures() }
        }
      }
      collector.pointee.isEnding.store(false, ordering: .releasing)
      releaseM(m)
    } else {
      collector.pointee.isEnding.store(false, ordering: .releasing)
    }
    if let ended = step.ended {
      afterEnd(ended)
      return true
    }
    // There is more to mark, or nobody could look: either way somebody has to come back.
    MarkWorkers.wake()
    return false
  }

  /// The end of the cycle that is on was tried before: whoever has nothing to mark leaves it to the workers, who give the
  /// others time to run first.
  static var isLeftToWorkers: Bool {
    collector.pointee.attempts > 0 && !collector.pointee.workersAreOff.load(ordering: .relaxed)
  }

  /// So many keep their threads that whoever comes to wait in place tries for a while to end the cycle (`Assist.pushOn`), also
  /// where that is left to the workers. That gives up shorter pauses to save a thread for each goroutine that runs meanwhile.
  /// (Of 2,000 that allocated 1,800 waited, and took ten times as much of the processors' time.)
  static var manyWaitInPlace: Bool { collector.pointee.waitingInPlace.load(ordering: .relaxed) >= 32 }

  /// Cycle number `cycle` is on.
  static func isMarking(in cycle: UInt32) -> Bool {
    apus_is_marking() != 0 && collector.pointee.cycle.load(ordering: .relaxed) == cycle
  }

  /// Ends the cycle, if nothing is left to mark; true when it has. The world stands still since `Sched.stopAsked`.
  /// `isLast`: however long that takes.
  private static func tryToEnd(isLast: Bool, on m: MRef) -> Bool {
    // A pause that begins a cycle, too, has counted that already.
    let start = isLast ? Clock.nanotime() : sched.pointee.stopAsked
    Processors.each { $0.pointee.heap.shareBuffer(on: m) }
    collector.pointee.attempts += 1
    var marker = Marker(stopper: m)
    // A program that always hides something from the marking gets a longer pause in the end.
    let hasEnded = attempt(with: &marker, isLast: isLast || collector.pointee.attempts > triesWithBudget, on: m)
    marker.endSharing()
    assert(!hasEnded || MarkWork.isEmpty, "a cycle ends with grey objects")
    if hasEnded { end(on: m) }
    collector.pointee.figures.addPause(Clock.nanotime() - start)
    return hasEnded
  }

  /// Scans the stacks that ran, and marks what that brings, for as long as a pause may last; true when nothing grey is
  /// left and every stack is as it was scanned. The world stands still.
  private static func attempt(with marker: inout Marker, isLast: Bool, on m: MRef) -> Bool {
    var bytes = StackRoots.scanThreads(with: &marker, stopper: m)
    // The budget begins here: the threads' stacks have to be scanned anyway, and beside a thousand of them there would be
    // time for nothing else.
    let deadline = isLast ? Int64.max : Clock.nanotime() + pauseBudget
    let scanned =
      StackNotes.mark(with: &marker, until: deadline)
      && StackRoots.scanParked(with: &marker, until: deadline, bytes: &bytes)
    if !scanned { StackNotes.begin() }
    collector.pointee.figures.stackBytes = max(collector.pointee.figures.stackBytes, bytes)
    while marker.drain(bytes: 4096) {
      if Clock.nanotime() > deadline { return false }
    }
    return scanned && collector.pointee.rootSlabs.load(ordering: .relaxed) == nil
  }

  /// Everything that lives is marked. The world stands still.
  private static func end(on m: MRef) {
    flushCaches(on: m)
    HeapCheck.run(.afterMarking, on: m)
    apus_set_marking(0)
    StackNotes.end()
    var total = heap.pointee.pacer.marked.load(ordering: .relaxed)
    Processors.each { p in
      total += p.pointee.heap.markedBytes + p.pointee.heap.blackBytes
      p.pointee.heap.markedBytes = 0
      p.pointee.heap.blackBytes = 0
      p.pointee.heap.debt = 0
    }
    Sweeper.turn(on: m)
    let now = Clock.nanotime()
    collector.pointee.figures.atEnd = heap.pointee.pacer.live.load(ordering: .relaxed)
    collector.pointee.figures.goal = heap.pointee.pacer.goal.load(ordering: .relaxed)
    collector.pointee.figures.marked = total
    collector.pointee.figures.end = now
    heap.pointee.pacer.end(
      marked: total, elapsed: max(now - collector.pointee.figures.markStart, 1),
      stacks: collector.pointee.figures.stackBytes, now: now)
    collector.pointee.lastEnd.store(now, ordering: .relaxed)
    if Trace.isOn { Trace.endCollection(on: m) }
  }

  /// The figures of the cycle that has ended. The world stands still; from now on the next cycle may begin.
  private static func takeFigures() -> CycleFigures {
    collector.pointee.figures.number = collector.pointee.cycle.load(ordering: .relaxed)
    collector.pointee.figures.workerTime = heap.pointee.pacer.workerTime.load(ordering: .relaxed)
    collector.pointee.figures.assistTime = heap.pointee.pacer.assistTime.load(ordering: .relaxed)
    HeapTotals.add(collector.pointee.figures)
    collector.pointee.isRunning.store(false, ordering: .sequentiallyConsistent)
    return collector.pointee.figures
  }

  /// A cycle has ended and the world runs. The next one may be on.
  private static func afterEnd(_ figures: CycleFigures) {
    GCTrace.write(figures)
    collector.pointee.ended.wrappingAdd(1, ordering: .sequentiallyConsistent)
    collector.pointee.waiters.notifyAll()
    Sweeper.wake()
  }

  private static func flushCaches(on m: MRef) {
    Processors.each { $0.pointee.heap.flush(on: m) }
  }
}

extension Collector {
  /// A whole cycle that begins after the call, and its sweeping (Go's `runtime.GC`). The caller waits.
  static func collect() {
    // One that is on has begun before the call: what died meanwhile is not in it.
    let before = collector.pointee.cycle.load(ordering: .acquiring)
    waitForEnd(of: before)
    while collector.pointee.cycle.load(ordering: .acquiring) == before {
      if !start(.forced) { waitForTurn() }
    }
    waitForEnd(of: before &+ 1)
    Sweeper.finish()
    Cleanup.wake()
  }

  /// Waits for the end of cycle `number`, without leaving the thread: whoever allocates does not look as if he waited, and may
  /// hold a lock that belongs to its thread.
  static func waitInPlace(for number: UInt32) {
    collector.pointee.waitingInPlace.wrappingAdd(1, ordering: .relaxed)
    LockedThread.lockCurrent()
    waitForEnd(of: number)
    LockedThread.unlockCurrent()
    collector.pointee.waitingInPlace.wrappingSubtract(1, ordering: .relaxed)
  }

  private static func waitForTurn() {
    if collector.pointee.isRunning.load(ordering: .acquiring) {
      waitForEnd(of: collector.pointee.cycle.load(ordering: .acquiring))
    }
    Park.yield()
  }

  /// Waits until cycle `number` has ended.
  private static func waitForEnd(of number: UInt32) {
    while true {
      let ticket = collector.pointee.waiters.takeTicket()
      if Int32(bitPattern: collector.pointee.ended.load(ordering: .sequentiallyConsistent) &- number) >= 0 {
        // The ticket is notified with the others at the end of a later cycle.
        return
      }
      collector.pointee.waiters.wait(ticket, .collectionWait)
    }
  }
}
