import CApus
import Synchronization

/// Running what is due (Go's `timers.check`, `timers.run`).
///
/// Nothing is made ready under a heap's lock: making ready may start a thread, which allocates. So what is due is taken
/// out under the lock, in batches, and made ready after it: sleeping goroutines as a queue, by the links that a waiting
/// goroutine has no other use for; records as a list, marked as firing.
///
/// No more is taken out than the P's ring has room for. What is left stays in the heap, in the order of its time, and
/// comes next. Otherwise it would overflow to the end of the global queue, behind all that has ever been started and has
/// not run yet: a burst of new goroutines would make every timer late by as long as it takes to run them. (Go's timers
/// overflow.) A ring may be full at each look, when as many goroutines as it holds do nothing but yield: then one is
/// taken out, and runs next.
enum Expiry {
  /// So many are taken out while the lock is held.
  private static var batch: Int { 256 }

  /// Runs what is due in the heap of `p`, into the queue of the P of `m`; true when there was anything.
  @inline(__always)
  static func check(_ p: PRef, on m: MRef) -> Bool {
    let next = p.pointee.timers.nextWhen.load(ordering: .relaxed)
    if next == TimerHeap.none { return false }
    let now = Clock.nanotime()
    return next <= now && run(p.timers, now, on: m)
  }

  /// Whether a timer of any P is due.
  static var anyIsDue: Bool {
    let earliest = Timers.earliest()
    return earliest != TimerHeap.none && earliest <= Clock.nanotime()
  }

  /// The same for all Ps: the thread that waited for the clock calls it.
  static func checkAll(on m: MRef) -> Bool {
    var ran = false
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
      guard let p = sched.pointee.allP[index] else { break }
      if check(p, on: m) { ran = true }
    }
    return ran
  }

  @inline(never)
  private static func run(_ heap: TimerHeapRef, _ now: Int64, on m: MRef) -> Bool {
    var ran = false
    var more = true
    while more {
      let room = OwnerQueue(m.pointee.p.unsafelyUnwrapped).room
      if room == 0 && ran { break }
      let limit = max(min(batch, room), 1)
      var sleepers = GQueue()
      var records: TimerRecordRef?
      heap.pointee.lock.lock(m)
      more = heap.pointee.takeExpired(now, atMost: limit, &sleepers, &records)
      // Only later: what is armed meanwhile publishes itself.
      _ = heap.pointee.publish()
      heap.pointee.lock.unlock(m)
      if room == 0, let g = sleepers.removeFirst() {
        ran = true
        Park.ready(g, on: m)
      } else if sleepers.count > 0 {
        ran = true
        Park.ready(&sleepers, on: m)
      }
      while let record = records {
        ran = true
        records = record.pointee.link
        record.pointee.link = nil
        record.pointee.fire(record.pointee.context)
        // From here on the record may be gone.
        record.pointee.isFiring.store(false, ordering: .releasing)
      }
    }
    return ran
  }

  /// Whether the direct switch has to be left for the scheduler loop, as a timer of `p` may be due. Only the P's holder
  /// asks.
  ///
  /// Go reads the clock at each scheduling while a P has timers: 25 ns here, beside a switch of as much. So the cycle
  /// counter is read first, and the clock only when it has moved by `quantum` since the last time. That makes a timer
  /// late by some 10 µs at the worst, and only while goroutines switch faster than that. A counter that jumps, as between
  /// two processors that disagree, makes the clock be read; it need not run evenly.
  @inline(__always)
  static func isDue(_ p: PRef) -> Bool {
    if p.pointee.timers.nextWhen.load(ordering: .relaxed) == TimerHeap.none { return false }
    let ticks = apus_ticks()
    if ticks &- p.pointee.timers.lookedAt < quantum { return false }
    return isDue(p, ticks)
  }

  @inline(never)
  private static func isDue(_ p: PRef, _ ticks: UInt64) -> Bool {
    p.pointee.timers.lookedAt = ticks
    return p.pointee.timers.nextWhen.load(ordering: .relaxed) <= Clock.nanotime()
  }

  /// About ten microseconds of the cycle counter: x86-64's counts a few times in a nanosecond, aarch64's some dozen
  /// times in a microsecond.
  private static var quantum: UInt64 {
    #if arch(arm64)
      256
    #else
      20_000
    #endif
  }

  /// The Ps from `count` on are about to be dissolved: their timers move to P0. The world stands still, so nobody with a P
  /// is in the way; but threads that are not the runtime's may arm and call off, so locks are taken, one at a time.
  static func evacuate(downTo count: Int, on m: MRef) {
    let target = sched.pointee.allP[0].unsafelyUnwrapped.timers
    for index in max(count, 1)..<max(Int(sched.pointee.maxProcs.load(ordering: .relaxed)), count, 1) {
      let source = sched.pointee.allP[index].unsafelyUnwrapped.timers
      source.pointee.lock.lock(m)
      while source.pointee.count > 0 {
        let entry = source.pointee.entries[source.pointee.count - 1]
        if let g = entry.sleeper {
          source.pointee.remove(at: source.pointee.count - 1)
          source.pointee.lock.unlock(m)
          target.pointee.lock.lock(m)
          target.pointee.insert(TimerHeap.Entry(when: entry.when, sleeper: g))
          _ = target.pointee.publish()
          target.pointee.lock.unlock(m)
        } else {
          move(entry.record, from: source, to: target, m)
        }
        source.pointee.lock.lock(m)
      }
      _ = source.pointee.publish()
      source.pointee.lock.unlock(m)
    }
  }

  /// The caller holds the lock of `source`, which is released.
  private static func move(
    _ record: TimerRecordRef, from source: TimerHeapRef, to target: TimerHeapRef, _ m: MRef
  ) {
    // Between the two locks it is wanted and in no heap. Whoever arms it then puts it into its new home, whoever removes
    // it waits for the mark. Nobody else has set that: nothing fires while the world stands still.
    record.pointee.isFiring.store(true, ordering: .relaxed)
    if !record.pointee.isWanted { source.pointee.dead -= 1 }
    source.pointee.remove(at: Int(record.pointee.index))
    record.pointee.home.store(target, ordering: .releasing)
    source.pointee.lock.unlock(m)
    target.pointee.lock.lock(m)
    if record.pointee.isWanted, record.pointee.index < 0 {
      target.pointee.insert(TimerHeap.Entry(when: record.pointee.alarm, record: record))
      _ = target.pointee.publish()
    }
    target.pointee.lock.unlock(m)
    record.pointee.isFiring.store(false, ordering: .releasing)
  }
}

extension TimerHeap {
  /// Takes out what fires at `now` or before, but not more than `limit`; true when it stopped at the limit.
  package mutating func takeExpired(
    _ now: Int64, atMost limit: Int, _ sleepers: inout GQueue, _ records: inout TimerRecordRef?
  ) -> Bool {
    var taken = 0
    var last: TimerRecordRef?
    while count > 0, entries[0].when <= now {
      if taken == limit { return true }
      let entry = entries[0]
      if let g = entry.sleeper {
        removeFirst()
        sleepers.append(g)
        taken += 1
        continue
      }
      let record = entry.record
      if !record.pointee.isWanted {
        removeFirst()
        dead -= 1
        continue
      }
      if record.pointee.alarm > entry.when {
        move(at: 0, to: record.pointee.alarm)
        continue
      }
      // Armed again while its function still runs, on another thread: it is that thread's for a moment.
      if record.pointee.isFiring.load(ordering: .acquiring) { return false }
      removeFirst()
      record.pointee.isWanted = false
      record.pointee.isFiring.store(true, ordering: .relaxed)
      record.pointee.link = nil
      if let last { last.pointee.link = record } else { records = record }
      last = record
      taken += 1
    }
    return false
  }
}
