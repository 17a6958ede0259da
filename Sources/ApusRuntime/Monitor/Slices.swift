import Synchronization

/// How long a goroutine may run before it is stopped. It depends on who waits.
///
/// Nobody waits: for as long as it likes. Only other hogs wait: `rotation`, Go's 10 ms. A goroutine waits that was parked
/// or has not begun: `fresh` for one that has not shown to be a hog, as stopping it costs a thread; `hog` for one that has,
/// whose thread is spent already. So a goroutine that wakes up beside hogs waits for a fraction of a millisecond, not for
/// 10 ms a hog as in Go.
///
/// The price is two thread switches and a signal each time, some 30 to 40 microseconds of a CPU. A hog that was stopped
/// runs for `hog` at the least when it goes on, so however often somebody wakes up, stopping takes no more than about a
/// seventh of it; a goroutine that wakes up each millisecond costs the hogs beside it 4 % of one CPU.
///
/// The other price is a thread for each goroutine that was stopped, and with 10,000 threads a process ends: as many
/// goroutines that wake up at once and compute for two milliseconds each would get there. So beside a thousand such threads
/// the slices of goroutines whose stop would cost one more are longer (`prolonged`), and those that do not compute for
/// seconds end within their first. Whoever is ready waits behind them for longer, too.
public struct Slices: ~Copyable {
  // Nanoseconds. Tests and stresses change them.
  let fresh = Atomic<Int64>(1_000_000)
  let hog = Atomic<Int64>(250_000)
  let rotation = Atomic<Int64>(10_000_000)

  /// `slice`, for a goroutine that has not been stopped, beside `count` threads of goroutines that were: as it is up to a
  /// thousand of them, then twice as long for every 512 threads more, up to 1.28 seconds beside 6,000. From there on a P makes
  /// fifty threads a minute at the most.
  package static func prolonged(_ slice: Int64, preempted count: Int) -> Int64 {
    let doublings = min(max(count / 512 - 1, 0), 11)
    return max(slice, min(slice << Int64(doublings), 1_280_000_000))
  }

  /// How much of its own CPU time a thread uses between two signals of its timer. The kernel looks at such timers at its
  /// own tick, so it is that or more.
  static var ownCPUTime: Int64 { 10_000_000 }

  /// Makes all of them `nanoseconds` long: for tests that want goroutines stopped often.
  package static func setAll(_ nanoseconds: Int64) {
    LazyStart.ensure()
    sched.pointee.slices.fresh.store(nanoseconds, ordering: .relaxed)
    sched.pointee.slices.hog.store(nanoseconds, ordering: .relaxed)
    sched.pointee.slices.rotation.store(nanoseconds, ordering: .relaxed)
  }
}
