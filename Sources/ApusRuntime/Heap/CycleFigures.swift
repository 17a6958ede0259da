import Synchronization

/// What there is to tell of one cycle. Times in nanoseconds on the monotonic clock.
struct CycleFigures {
  var number: UInt32 = 0
  var reason = Collector.Reason.size
  /// When the world was asked to stand still, and when it went on with the barrier up.
  var start: Int64 = 0
  var markStart: Int64 = 0
  var end: Int64 = 0
  /// How long it stood still at the beginning; and afterwards, altogether and at most.
  var firstPause: Int64 = 0
  var laterPauses: Int64 = 0
  var worstPause: Int64 = 0
  /// Bytes of objects at the end, before and after garbage was told from the rest; and the goal that was in force.
  var atStart = 0
  var atEnd = 0
  var marked = 0
  var goal = 0
  /// Bytes of stacks that were scanned.
  var stackBytes = 0
  var workerTime: Int64 = 0
  var assistTime: Int64 = 0

  init() {}

  init(reason: Collector.Reason, start: Int64) {
    self.reason = reason
    self.start = start
  }

  mutating func addPause(_ pause: Int64) {
    laterPauses += pause
    worstPause = max(worstPause, pause)
  }
}

/// What there is to tell of all cycles.
struct HeapTotals: ~Copyable {
  let lock = RuntimeLock(.collector)
  // Under lock.
  private(set) var cycles = 0
  private(set) var forced = 0
  /// Bytes of the objects that were found dead.
  private(set) var freedBytes = 0
  private(set) var pauseTotal: Int64 = 0
  private(set) var worstPause: Int64 = 0
  /// Nanoseconds of marking, by workers and by those who allocate.
  private(set) var markTime: Int64 = 0
  /// The pauses of the last cycles, each cycle's first and longest later one, the oldest overwritten.
  private var pauses = InlineArray<256, Int64>(repeating: 0)
  private var pauseCount = 0

  init() {}

  static var totals: UnsafeMutablePointer<HeapTotals> {
    withUnsafeMutablePointer(to: &Collector.collector.pointee.totals) { $0 }
  }

  /// A cycle has ended.
  static func add(_ figures: CycleFigures) {
    let m = currentM()
    totals.pointee.lock.lock(m)
    totals.pointee.cycles += 1
    if figures.reason == .forced { totals.pointee.forced += 1 }
    totals.pointee.freedBytes += max(figures.atEnd - figures.marked, 0)
    totals.pointee.pauseTotal += figures.firstPause + figures.laterPauses
    totals.pointee.markTime += figures.workerTime + figures.assistTime
    totals.pointee.note(figures.firstPause)
    totals.pointee.note(figures.worstPause)
    totals.pointee.lock.unlock(m)
  }

  private mutating func note(_ pause: Int64) {
    worstPause = max(worstPause, pause)
    pauses[pauseCount % 256] = pause
    pauseCount += 1
  }

  /// Copies the pauses, the latest first; how many there are.
  func copyPauses(to buffer: inout InlineArray<256, Int64>) -> Int {
    let count = min(pauseCount, 256)
    for index in 0..<count { buffer[index] = pauses[(pauseCount - 1 - index) % 256] }
    return count
  }
}
