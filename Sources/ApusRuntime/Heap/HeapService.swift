import Synchronization

/// The collector's goroutines. Boot starts them on goroutine 1; where there is none, the heap's first use does.
enum HeapService {
  /// Starts the helper of `ForcedCollection`, once (the `init` of Go's runtime).
  static func startHelper() {
    if Collector.collector.pointee.hasHelper.exchange(true, ordering: .acquiringAndReleasing) { return }
    SystemGoroutine.start { ForcedCollection.runHelper() }
  }

  /// Starts the background sweeper and the scavenger, once, and gives way until both run; then there may be collections
  /// (Go's `gcenable`).
  static func enable() {
    let collector = Collector.collector
    if collector.pointee.isEnabled.exchange(true, ordering: .acquiringAndReleasing) { return }
    SystemGoroutine.start { Sweeper.runInBackground() }
    SystemGoroutine.start { Scavenger.runInBackground() }
    // Each says that it runs by clearing its flag before it waits for the first time.
    while heap.pointee.sweeper.isAwake.load(ordering: .acquiring)
      || heap.pointee.scavenger.isAwake.load(ordering: .acquiring)
    {
      Park.yield()
    }
  }
}
