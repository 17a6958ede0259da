import CApus
import Synchronization

/// When a collection begins, and how much marking it asks of those who allocate (Go's `gcController`).
///
/// The *goal* is the size at which the heap should be when the collection ends: what lived after the last one and GOGC
/// per cent more, or what GOMEMLIMIT or the arena leaves, if that is less. The *trigger* lies before it by what the program
/// is expected to allocate while the collector marks with a quarter of the processors. Should that not be enough, the
/// allocating goroutines help: `assistRatio` is the bytes to be marked for each byte allocated, so that the marking is
/// done when the goal is reached.
public struct Pacer: ~Copyable {
  /// GOGC; below zero: off. And GOMEMLIMIT in bytes; Int.max: none.
  let percent = Atomic<Int>(100)
  let limit = Atomic<Int>(Int.max)

  /// Bytes of objects: what lived after the last collection and what was allocated since. Blocks in the caches of Ps count
  /// as if they were full already.
  let live = Atomic<Int>(0)
  let trigger = Atomic<Int>(Int.max)
  let goal = Atomic<Int>(Int.max)
  /// Bytes marked in this cycle.
  let marked = Atomic<Int>(0)
  /// Bytes that the background workers have marked and that nobody who allocates has taken for his own work yet.
  let credit = Atomic<Int>(0)
  /// The bits of a Double.
  private let ratio = Atomic<UInt64>(0)
  /// Nanoseconds that workers and those who allocate have spent on marking in this cycle.
  let workerTime = Atomic<Int64>(0)
  let assistTime = Atomic<Int64>(0)
  /// A goal that the memory limit has lowered has had the collector run for more than half of the processors' time lately:
  /// nobody has to help then, and the heap grows beyond the limit (Go's CPU limiter).
  let isLimited = Atomic<Bool>(false)

  // Written while the world stands still, or under the flag of the one who starts a cycle.
  private(set) var lastMarked = 0
  private(set) var triggeredAt = 0
  private var consMark: (Double, Double, Double, Double) = (0, 0, 0, 0)
  private var stackBytes = 0
  private var bucket = 0.0
  /// The goal is what the limit leaves.
  private var goalIsLimits = false
  private var lastEnd: Int64 = 0
  /// Bytes that the process has in memory besides the heap's objects and its free blocks; and besides the heap's blocks.
  private var overhead = 0
  private(set) var outside = 0

  /// The share of the processors that background marking gets.
  static var backgroundShare: Double { 0.25 }
  /// The smallest goal at GOGC=100: twice Go's, whose heap grows beyond its goals instead. A cycle costs as much however
  /// little there is to mark.
  static var smallestGoal: Int { 8 << 20 }

  init() {}

  private static var pacer: UnsafeMutablePointer<Pacer> { withUnsafeMutablePointer(to: &heap.pointee.pacer) { $0 } }

  /// Sets the knobs (Go's `gcinit`).
  mutating func configure(percent: Int, limit: Int) {
    self.percent.store(percent, ordering: .relaxed)
    self.limit.store(limit, ordering: .relaxed)
    measureOverhead()
    setGoal()
  }

  /// `bytes` are given out to a P's cache, or allocated.
  static func charge(_ bytes: Int) { pacer.pointee.live.wrappingAdd(bytes, ordering: .relaxed) }

  /// `bytes` came back unused.
  static func credit(_ bytes: Int) { pacer.pointee.live.wrappingSubtract(bytes, ordering: .relaxed) }

  /// Whether it is time for a collection.
  @inline(__always)
  static var wantsCycle: Bool {
    pacer.pointee.live.load(ordering: .relaxed) >= pacer.pointee.trigger.load(ordering: .relaxed)
  }

  /// Whether the heap is already larger than the collection was to leave time for.
  var isBeyondGoal: Bool {
    let goal = goal.load(ordering: .relaxed)
    return live.load(ordering: .relaxed) - goal > goal / 32
  }

  var assistRatio: Double { Double(bitPattern: ratio.load(ordering: .relaxed)) }

  /// A cycle begins.
  mutating func begin() {
    triggeredAt = live.load(ordering: .relaxed)
    marked.store(0, ordering: .relaxed)
    credit.store(0, ordering: .relaxed)
    workerTime.store(0, ordering: .relaxed)
    assistTime.store(0, ordering: .relaxed)
    revise()
  }

  /// Computes `assistRatio` anew (Go's `revise`). Anybody may, at any time; what is lost by a race is made up by the next.
  func revise() {
    let live = live.load(ordering: .relaxed)
    let done = marked.load(ordering: .relaxed)
    var goal = goal.load(ordering: .relaxed)
    // In a steady state as much lives as last time. If there is more, everything may live.
    let expected = done < lastMarked + lastMarked / 10 ? lastMarked + lastMarked / 10 : max(triggeredAt, done)
    if live >= goal { goal = goal.addingReportingOverflow(goal / 10).partialValue }
    let work = Double(max(expected - done, 1000))
    let room = Double(max(goal &- live, 1))
    ratio.store((work / room).bitPattern, ordering: .relaxed)
  }

  /// A cycle ends: computes the next goal and trigger. `elapsed`: nanoseconds since it began; `stacks`: bytes of stacks that
  /// were scanned. The world stands still.
  mutating func end(marked total: Int, elapsed: Int64, stacks: Int, now: Int64) {
    let procs = Double(sched.pointee.maxProcs.load(ordering: .relaxed))
    let available = max(Double(elapsed) * procs, 1)
    let markTime = Double(workerTime.load(ordering: .relaxed) + assistTime.load(ordering: .relaxed))
    let share = min(max(markTime / available, Self.backgroundShare), 0.95)
    let grown = Double(max(live.load(ordering: .relaxed) - triggeredAt, 0))
    let cons = grown * share / (Double(max(total, 1)) * (1 - share))
    consMark = (consMark.1, consMark.2, consMark.3, cons)
    lastMarked = total
    stackBytes = stacks
    // Before the dead ones are no longer counted: they are still in memory.
    measureOverhead()
    live.store(total, ordering: .relaxed)
    limitTime(spent: markTime, window: Double(now - (lastEnd == 0 ? now - elapsed : lastEnd)) * procs, procs)
    lastEnd = now
    setGoal()
  }

  /// A bucket of a second for each processor, which fills by what marking takes and drains by what is left to the program.
  private mutating func limitTime(spent: Double, window: Double, _ procs: Double) {
    bucket = min(max(bucket + 2 * spent - window, 0), procs * 1e9)
    isLimited.store(goalIsLimits && bucket >= procs * 1e9, ordering: .relaxed)
  }

  private mutating func measureOverhead() {
    if limit.load(ordering: .relaxed) == Int.max { return }
    let free =
      heap.pointee.pages.freeCount.load(ordering: .relaxed) - heap.pointee.pages.releasedCount.load(ordering: .relaxed)
    let resident = ResidentMemory.bytes()
    outside = max(resident - PageHeap.residentBlocks * HeapGeometry.blockSize, 0)
    // What waits for destruction counts against the goal as it is (`CleanupPace`).
    let pending = heap.pointee.cleanup.pace.pendingBytes.load(ordering: .relaxed)
    overhead = max(resident - live.load(ordering: .relaxed) - pending - free * HeapGeometry.blockSize, 0)
  }

  /// Goal and trigger from what lives and the knobs (Go's `commit`).
  mutating func setGoal() {
    let percent = percent.load(ordering: .relaxed)
    let limit = limit.load(ordering: .relaxed)
    var goal = Int.max
    if percent >= 0 {
      let (extra, overflow) = (lastMarked + stackBytes).multipliedReportingOverflow(by: percent)
      goal = overflow ? Int.max : lastMarked.addingReportingOverflow(extra / 100).partialValue
      if goal < lastMarked { goal = Int.max }
      goal = max(goal, Self.smallestGoal.multipliedReportingOverflow(by: percent).partialValue / 100)
    }
    // Garbage goes before the arena is full, also with `GOGC=off`.
    let arena = heap.pointee.arena.blockLimit * HeapGeometry.blockSize
    var most = arena - arena / 16
    goalIsLimits = false
    if limit != Int.max {
      // A little below, since blocks fill up unevenly.
      let allowed = Self.withoutNewTables(limit - overhead - limit / 16)
      goalIsLimits = allowed < min(goal, most)
      most = min(most, allowed)
    }
    // Never below what lives: the collector would run without a pause.
    goal = min(goal, max(most, lastMarked + max(lastMarked / 16, 256 << 10)))
    self.goal.store(goal, ordering: .relaxed)
    trigger.store(triggerPoint(goal), ordering: .relaxed)
  }

  /// How many of `bytes` can be objects: the first use of a part of the arena costs memory for its tables, too.
  private static func withoutNewTables(_ bytes: Int) -> Int {
    let used = Int(PageHeap.frontier)
    if bytes <= used { return bytes }
    return used + (bytes - used) / (HeapGeometry.blockSize + Arena.tableBytesPerBlock) * HeapGeometry.blockSize
  }

  private func triggerPoint(_ goal: Int) -> Int {
    let room = Double(goal - lastMarked)
    // Two at a time: a `max` of more allocates in a debug build.
    let cons = max(max(consMark.0, consMark.1), max(consMark.2, consMark.3))
    let runway = cons * Self.backgroundShare / (1 - Self.backgroundShare) * Double(lastMarked + stackBytes)
    // Not before seven tenths of the way, not behind 19 twentieths of it.
    let distance = min(max(room - runway, room * 0.7), room * 0.95)
    return lastMarked + Int(distance)
  }
}
