import ApusRuntime

/// The managed heap's knobs and figures.
public enum ManagedHeap {
  /// Collects what is garbage now, and returns when that is done (Go's `runtime.GC`). Other goroutines run meanwhile, but
  /// for two short pauses. Properties of dead objects that Swift counts references for are released soon after.
  public static func collect() {
    if HeapScopes.isPossible { HeapKnob.collect() } else { OtherThread.run { HeapKnob.collect() } }
  }

  /// Collects, and gives all memory of the heap that is free to the system at once, with that of the stacks of goroutines
  /// that have ended (Go's `FreeOSMemory`). In the background that happens by itself, with less effort.
  public static func releaseMemory() {
    if HeapScopes.isPossible { HeapKnob.releaseMemory() } else { OtherThread.run { HeapKnob.releaseMemory() } }
  }

  /// By how many per cent the heap may grow after a collection before the next one ends (`GOGC`): 100 means twice what
  /// lived. Below zero there are no collections but those that are asked for, or that `memoryLimit` asks for, and where the
  /// heap's 32 GiB are nearly full.
  public static var growthPercent: Int {
    get { HeapKnob.percent }
    set { HeapKnob.percent = newValue }
  }

  /// How many bytes the process should have in memory at most (`GOMEMLIMIT`); `Int.max` for no limit. When it comes near
  /// that, the heap collects more often, up to half of the processors' time. It is no hard limit: what lives stays.
  public static var memoryLimit: Int {
    get { HeapKnob.limit }
    set { HeapKnob.limit = newValue }
  }

  /// The heap's figures now.
  public static var statistics: Statistics { Statistics(.now()) }

  /// What the heap has at hand and what it has done. Taken while everybody runs: figures that change together may be of
  /// different moments.
  public struct Statistics: Sendable {
    /// Bytes of objects: those that lived after the last collection, and those made since.
    public let objectBytes: Int
    /// The size that the heap should have when the next collection ends; at most fifteen sixteenths of
    /// 32 GiB, unless more lives.
    public let goal: Int
    /// Bytes of blocks in use, with the gaps in them.
    public let usedBytes: Int
    /// Bytes of blocks that may be in memory, free ones with them.
    public let residentBytes: Int
    /// Bytes given back to the system so far.
    public let releasedBytes: Int
    /// Bytes of objects made so far.
    public let allocatedBytes: Int
    /// The roots that exist.
    public let roots: Int
    /// The collections so far.
    public let collections: Int
    /// Those of them that somebody asked for.
    public let forcedCollections: Int
    /// How long goroutines stood still for collections, altogether.
    public let pauseTotal: Duration
    /// How long they did at most at once.
    public let worstPause: Duration
    /// The pauses of the last collections, the latest first; at most 256.
    public let recentPauses: [Duration]
    /// The processors' time that marking took.
    public let markTime: Duration
    /// The processors' time that giving memory back took.
    public let scavengeTime: Duration

    init(_ figures: HeapFigures) {
      objectBytes = figures.liveBytes
      goal = figures.goal
      usedBytes = figures.usedBytes
      residentBytes = figures.residentBytes
      releasedBytes = figures.scavengedBytes
      allocatedBytes = figures.allocatedBytes
      roots = figures.roots
      collections = figures.collections
      forcedCollections = figures.forcedCollections
      pauseTotal = .nanoseconds(figures.pauseTotal)
      worstPause = .nanoseconds(figures.worstPause)
      recentPauses = figures.pauses.map { .nanoseconds($0) }
      markTime = .nanoseconds(figures.markTime)
      scavengeTime = .nanoseconds(figures.scavengeTime)
    }
  }
}
