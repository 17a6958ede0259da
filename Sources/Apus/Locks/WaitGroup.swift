import ApusRuntime
import Synchronization

/// Waits for a number of goroutines to finish (Go's `sync.WaitGroup`).
///
/// The counter is raised by `add` and lowered by `done`; `wait` returns when it is zero. An `add` from zero must happen
/// before the `wait` that is to see it.
public final class WaitGroup: Sendable {
  /// The counter in the upper half, the number of waiting goroutines in the lower: one atomic word, so that `done` needs
  /// no lock. Only `done` to zero with waiters, and `wait` above zero, touch the semaphore.
  let state = Atomic<UInt64>(0)
  private let waiters = SemaphoreRoot(0)

  /// A group whose counter is zero.
  public init() {}

  /// Raises the counter by `count`, or lowers it when that is negative. A counter below zero ends the process with
  /// `panic: sync: negative WaitGroup counter`. So does, with a panic of its own, an `add` from zero which meets a
  /// `wait` that has not returned: only an `add` that is not the first may come at any time.
  public func add(_ count: Int = 1) {
    // The counter has 32 bits, as Go's.
    if count < Int(Int32.min) { Fatal.panic("sync: negative WaitGroup counter") }
    if count > Int(Int32.max) { Fatal.panic("sync: WaitGroup counter out of range") }
    let delta = UInt64(truncatingIfNeeded: count) << 32
    let now = state.wrappingAdd(delta, ordering: .acquiringAndReleasing).newValue
    let counter = Int32(truncatingIfNeeded: now >> 32)
    let waiting = UInt32(truncatingIfNeeded: now)
    if counter < 0 { Fatal.panic("sync: negative WaitGroup counter") }
    if waiting == 0 { return }
    if count > 0 && Int(counter) == count {
      Fatal.panic("sync: WaitGroup misuse: Add called concurrently with Wait")
    }
    if counter > 0 { return }
    // Zero with waiters: nobody may add until they are released, so the state is this thread's to reset.
    if state.load(ordering: .relaxed) != now {
      Fatal.panic("sync: WaitGroup misuse: Add called concurrently with Wait")
    }
    state.store(0, ordering: .releasing)
    waiters.release(Int(waiting))
  }

  /// Lowers the counter by one.
  public func done() {
    add(-1)
  }

  /// Returns when the counter is zero. A group that is used anew before every earlier `wait` has returned ends the
  /// process with `panic: sync: WaitGroup is reused before previous Wait has returned`.
  public func wait() {
    var before = state.load(ordering: .acquiring)
    while before >> 32 != 0 {
      let result = state.compareExchange(
        expected: before, desired: before &+ 1, successOrdering: .acquiringAndReleasing, failureOrdering: .acquiring)
      if result.exchanged {
        waiters.acquire(1, .waitGroup)
        if state.load(ordering: .relaxed) != 0 {
          Fatal.panic("sync: WaitGroup is reused before previous Wait has returned")
        }
        return
      }
      before = result.original
    }
  }

  /// Runs `body` in a goroutine that is counted while it runs.
  @inlinable
  @inline(__always)
  public func go(_ body: sending @escaping () -> Void) {
    add()
    Launch.start(
      {
        body()
        self.done()
      }, stackOrder: 0)
  }
}
