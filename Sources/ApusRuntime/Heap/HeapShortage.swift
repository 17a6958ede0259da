import CApus
import Synchronization

/// What is tried before the process ends because somebody has found no neighbouring blocks in the arena.
///
/// The pacer looks at bytes. There may be enough of them, but in pieces; what the last cycle has found may be neither swept
/// nor destroyed; others may have been quicker. Where it is the system that has no memory, nothing of this helps.
struct HeapShortage {
  private let count: Int
  private var releases = PageHeap.releases
  private var steps = 0
  /// Until when the scavenger is waited for; 0 as long as it was not.
  private var patience: Int64 = 0

  /// Of `count` neighbouring blocks. Made before they are looked for.
  init(of count: Int) {
    self.count = count
  }

  /// Makes room, perhaps; false when there is nothing left to try. The caller has looked in vain, and is in no section.
  mutating func relieve() -> Bool {
    if PageHeap.hasArena(for: count, on: currentM()) { return false }
    // Whoever allocates does not look as if he waited, and may hold a lock that belongs to its thread.
    LockedThread.lockCurrent()
    defer { LockedThread.unlockCurrent() }
    if waitForScavenger() { return true }
    switch steps {
    case 0: Sweeper.finish()
    case 1...3: Collector.collect()
    default: return false
    }
    Cleanup.finish()
    steps += 1
    return true
  }

  /// Nanoseconds: others might give memory back all the time.
  private static var longestWait: Int64 { 10_000_000_000 }

  /// Blocks whose memory is being given back are in nobody's hands for as long as that takes. True if there are such, or
  /// were when the caller looked.
  private mutating func waitForScavenger() -> Bool {
    let before = releases
    releases = PageHeap.releases
    if releases == before && !PageHeap.isReleasing { return false }
    let now = Clock.nanotime()
    if patience == 0 { patience = now + Self.longestWait }
    Timers.sleep(until: now + 20_000)
    return now < patience
  }
}
