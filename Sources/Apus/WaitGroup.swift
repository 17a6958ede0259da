import ApusRuntime
import Synchronization

/// Waits for a number of goroutines to finish (Go's `sync.WaitGroup`).
///
/// The counter is raised by `add` and lowered by `done`; `wait` returns when it is zero. An `add` from zero must happen
/// before the `wait` that is to see it.
public final class WaitGroup: Sendable {
  /// The counter in the upper half, the number of waiting goroutines in the lower: one atomic word, so that `done` needs
  /// no lock. Only `done` to zero with waiters, and `wait` above zero, touch the semaphore.
  private let state = Atomic<UInt64>(0)
  private let semaphore: SemaphoreBox

  public init() {
    semaphore = SemaphoreBox()
  }

  /// Raises the counter by `count`, or lowers it when that is negative. A counter below zero ends the process with
  /// `panic: sync: negative WaitGroup counter`.
  public func add(_ count: Int = 1) {
    let delta = UInt64(truncatingIfNeeded: count) << 32
    let now = state.wrappingAdd(delta, ordering: .acquiringAndReleasing).newValue
    let counter = Int32(truncatingIfNeeded: now >> 32)
    if counter < 0 { Fatal.panic("sync: negative WaitGroup counter") }
    if counter > 0 { return }
    let waiters = UInt32(truncatingIfNeeded: now)
    if waiters == 0 { return }
    // Zero with waiters: nobody may add until they are released, so the state is this thread's to reset.
    state.store(0, ordering: .releasing)
    for _ in 0..<waiters { semaphore.release() }
  }

  /// Lowers the counter by one.
  public func done() {
    add(-1)
  }

  /// Returns when the counter is zero.
  public func wait() {
    var before = state.load(ordering: .acquiring)
    while before >> 32 != 0 {
      let result = state.compareExchange(
        expected: before, desired: before &+ 1, successOrdering: .acquiringAndReleasing, failureOrdering: .acquiring)
      if result.exchanged {
        semaphore.acquire(.waitGroup)
        return
      }
      before = result.original
    }
  }

  /// Runs `body` in a goroutine that is counted while it runs.
  public func go(_ body: sending @escaping () -> Void) {
    add()
    Launch.start(
      {
        body()
        self.done()
      }, stackOrder: 0)
  }
}
