import Synchronization

/// Keeps those who allocate from running away from the goroutine that destroys what they have left (`Cleanup`), which is one
/// among many.
///
/// What waits for destruction counts against the heap's goal. While there is no room for both, whoever is about to allocate
/// in another block waits until twice as many bytes were destroyed, and so the goroutine has the processor: one after the
/// other in the order in which they came, so all together do not make more than half of what is destroyed. (Go's
/// allocation is kept in step with sweeping in such a way, `deductSweepCredit`; its finalizers can fall behind.)
///
/// Nobody waits for much longer than a tenth of a second: a `deinit` may take as long as it likes, or wait for something
/// that the one who allocates holds. A goroutine of the runtime watches, and lets all go on where it is parked in a `deinit`,
/// or is so slow that not all were served in that time; then nobody waits for ten times as long. So a program whose
/// objects are destroyed that slowly still grows. So does one in which more than `mostWaiting` goroutines make them.
struct CleanupPace: ~Copyable {
  /// Bytes of the objects that wait. Raised by sweepers, lowered by the goroutine, under `Cleanup.lock`.
  let pendingBytes = Atomic<Int>(0)
  /// Bytes that were destroyed and have served nobody yet; the goroutine's own.
  private var unusedBytes = 0
  private let waiters = NotifyList()
  /// How many wait or are about to.
  private let waiting = Atomic<Int>(0)
  /// Nobody waits until then, on the monotonic clock.
  private let restsUntil = Atomic<Int64>(0)
  /// Where the watcher waits for somebody to wait; and whether it runs, or was told to.
  private let work = SemaphoreRoot(0)
  private let isWatched = Atomic<Bool>(false)
  private let isStarted = Atomic<Bool>(false)

  /// Nobody waits for less.
  private static var least: Int { 1 << 20 }
  /// How far beyond the goal both may be.
  private static var largestMargin: Int { 64 << 20 }
  /// Bytes to be destroyed for a block.
  private static var price: Int { 2 * HeapGeometry.blockSize }
  /// So many wait at once: each keeps its thread, since it may hold a lock that belongs to it. Others go on.
  private static var mostWaiting: Int { 512 }
  /// In nanoseconds: from one look of the watcher's to the next, for how long a parked `deinit` is waited for, and how long
  /// anybody waits.
  private static var pause: Int64 { 1_000_000 }
  private static var longestPark: Int64 { 2_000_000 }
  private static var longestWait: Int64 { 100_000_000 }

  init() {}

  private static var pace: UnsafeMutablePointer<CleanupPace> {
    withUnsafeMutablePointer(to: &heap.pointee.cleanup.pace) { $0 }
  }

  /// A sweeper has found `bytes` of dead objects.
  @inline(__always)
  static func add(_ bytes: Int) { pace.pointee.pendingBytes.wrappingAdd(bytes, ordering: .relaxed) }

  /// For one who is about to allocate in another block, and is in no section.
  @inline(__always)
  static func poll() {
    if pace.pointee.isBehind { pay() }
  }

  private var isBehind: Bool {
    let pending = pendingBytes.load(ordering: .relaxed)
    if pending <= Self.least { return false }
    let goal = heap.pointee.pacer.goal.load(ordering: .relaxed)
    let room = max(goal &- heap.pointee.pacer.live.load(ordering: .relaxed), 0)
    return pending - room > min(max(Self.least, goal / 8), Self.largestMargin)
  }

  private var rests: Bool { Clock.nanotime() < restsUntil.load(ordering: .sequentiallyConsistent) }

  @inline(never)
  private static func pay() {
    if Cleanup.isCurrent || pace.pointee.rests { return }
    if pace.pointee.waiting.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue <= mostWaiting {
      wakeWatcher()
      // Whoever allocates does not look as if he waited.
      LockedThread.lockCurrent()
      // Whoever lets all go on changes what is looked at here before he notifies: he sees the ticket, or this sees the change.
      // A ticket that nobody waits with is notified in its turn, for nothing.
      let ticket = pace.pointee.waiters.takeTicket()
      if pace.pointee.isBehind && !pace.pointee.rests { pace.pointee.waiters.wait(ticket, .cleanupAssist) }
      LockedThread.unlockCurrent()
    }
    pace.pointee.waiting.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }

  /// `bytes` of objects are destroyed. The goroutine calls it, in no section.
  static func serve(_ bytes: Int) {
    if pace.pointee.waiting.load(ordering: .sequentiallyConsistent) == 0 {
      pace.pointee.unusedBytes = 0
    } else if !pace.pointee.isBehind {
      pace.pointee.waiters.notifyAll()
    } else {
      pace.pointee.unusedBytes += bytes
      while pace.pointee.unusedBytes >= price {
        pace.pointee.unusedBytes -= price
        pace.pointee.waiters.notifyOne()
      }
    }
  }

  /// Lets all go on; nobody has to wait for ten times `time`.
  private static func giveUp(after time: Int64) {
    pace.pointee.restsUntil.store(Clock.nanotime() &+ 10 * time, ordering: .sequentiallyConsistent)
    pace.pointee.waiters.notifyAll()
  }

  private static func wakeWatcher() {
    if pace.pointee.isWatched.exchange(true, ordering: .sequentiallyConsistent) { return }
    if !pace.pointee.isStarted.exchange(true, ordering: .relaxed) { SystemGoroutine.start { CleanupPace.watch() } }
    pace.pointee.work.release()
  }

  /// The watcher.
  private static func watch() {
    while true {
      pace.pointee.work.acquire(1, .cleanupWait)
      watchWaiters()
      pace.pointee.isWatched.store(false, ordering: .sequentiallyConsistent)
      // Somebody may have come since, and found it set.
      if pace.pointee.waiting.load(ordering: .sequentiallyConsistent) > 0 { wakeWatcher() }
    }
  }

  private static func watchWaiters() {
    var now = Clock.nanotime()
    var (destroyed, since) = (Cleanup.destroyedCount, now)
    var (windowEnd, present) = (now + longestWait, pace.pointee.waiters.ticketCount)
    while pace.pointee.waiting.load(ordering: .sequentiallyConsistent) > 0 {
      Timers.sleep(until: now + pause)
      now = Clock.nanotime()
      // Sweepers in the middle of a section have not told it yet.
      Cleanup.wake()
      if destroyed != Cleanup.destroyedCount { (destroyed, since) = (Cleanup.destroyedCount, now) }
      if Cleanup.isHeldUp && now - since >= longestPark { giveUp(after: longestPark) }
      if now < windowEnd { continue }
      if pace.pointee.waiters.notifiedCount < present { giveUp(after: longestWait) }
      (windowEnd, present) = (now + longestWait, pace.pointee.waiters.ticketCount)
    }
  }
}
