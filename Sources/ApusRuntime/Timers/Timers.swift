import CApus
import Synchronization

/// Timers: armed, called off, slept on (Go's `timer.modify`, `timer.stop`, `timeSleep`).
///
/// Each P has a heap. Whoever arms a record or sleeps puts it into the heap of the P it runs on; a thread without a P
/// uses P0's, which always exists. Who takes out what is due stands in Expiry.swift, who waits for it in IdleWait.swift.
public enum Timers {
  /// Arms `record` to fire at `when` (nanoseconds of `Clock.nanotime`), whether it was armed before or not; true when it
  /// was. A time that has passed fires at once.
  ///
  /// The caller may hold locks of a lower rank than `timers`. It calls `announce` when it has released them, or parks:
  /// `Park.park` sees to it then.
  ///
  /// A record that is armed for later than its entry says, or for the first time since it was called off, is only
  /// written to: a deadline that moves on with every use costs no change of the heap.
  @discardableResult
  public static func arm(_ record: TimerRecordRef, at when: Int64, on m: MRef) -> Bool {
    let when = min(when, TimerHeap.latest)
    while true {
      let heap = record.lockHome(m)
      let wasWanted = record.pointee.isWanted
      let index = Int(record.pointee.index)
      if index >= 0 {
        record.pointee.alarm = when
        if !wasWanted {
          record.pointee.isWanted = true
          heap.pointee.dead -= 1
        }
        if when < heap.pointee.entries[index].when { heap.pointee.move(at: index, to: when) }
        finish(heap, m)
        return wasWanted
      }
      let mine = self.heap(of: m)
      if heap == mine {
        record.pointee.alarm = when
        record.pointee.isWanted = true
        heap.pointee.insert(TimerHeap.Entry(when: when, record: record))
        finish(heap, m)
        return wasWanted
      }
      // It was in another heap last: it moves here, while it is in none, and is locked anew.
      record.pointee.home.store(mine, ordering: .releasing)
      heap.pointee.lock.unlock(m)
    }
  }

  /// Calls `record` off; true when it was armed and had not fired. Its entry stays where it is, dead. The function may
  /// still be running elsewhere, or be about to.
  @discardableResult
  public static func disarm(_ record: TimerRecordRef, on m: MRef) -> Bool {
    let heap = record.lockHome(m)
    let wasWanted = record.pointee.isWanted
    if wasWanted {
      record.pointee.isWanted = false
      if record.pointee.index >= 0 {
        heap.pointee.dead += 1
        heap.pointee.sweepIfWorthwhile()
      }
    }
    finish(heap, m)
    return wasWanted
  }

  /// Calls `record` off and takes it out of its heap; true when it was armed and had not fired. When it returns, the
  /// record's function does not run and nothing refers to the record. The caller holds no lock.
  @discardableResult
  public static func remove(_ record: TimerRecordRef) -> Bool {
    let m = currentM()
    let heap = record.lockHome(m)
    let wasWanted = record.pointee.isWanted
    if record.pointee.index >= 0 {
      if !wasWanted { heap.pointee.dead -= 1 }
      heap.pointee.remove(at: Int(record.pointee.index))
    }
    record.pointee.isWanted = false
    finish(heap, m)
    // Whoever fires it is a scheduler that waits for nothing but runtime locks, of which the caller holds none.
    while record.pointee.isFiring.load(ordering: .acquiring) { Thread.yield() }
    return wasWanted
  }

  /// After `arm`, when the caller has released its locks: tells whoever waits for the clock of an earlier time.
  @inline(__always)
  public static func announce(_ m: MRef) {
    if m.pointee.unannounced != 0 { announceSlowly(m) }
  }

  @inline(never)
  private static func announceSlowly(_ m: MRef) {
    let when = m.pointee.unannounced
    m.pointee.unannounced = 0
    IdleWait.wake(for: when)
  }

  /// Parks the current goroutine until `when`; returns at once when that has passed. A thread that is no goroutine's
  /// sleeps.
  ///
  /// The goroutine goes into the heap under the heap's lock, which is released when its registers are saved: whoever
  /// finds it there may run it. (Go parks first and arms the timer from the scheduler's stack, to the same end.)
  @inline(never)
  package static func sleep(until when: Int64) {
    if when <= Clock.nanotime() { return }
    let m = acquireM()
    if m.pointee.isForeign {
      releaseM(m)
      Thread.sleep(until: when)
      return
    }
    let heap = m.pointee.p.unsafelyUnwrapped.timers
    heap.pointee.lock.lock(m)
    // From here on the lock is the section that the switch carries.
    releaseM(m)
    heap.pointee.insert(TimerHeap.Entry(when: min(when, TimerHeap.latest), sleeper: m.currentG))
    if heap.pointee.publish() { note(heap, m) }
    Park.park(.sleep, unlocking: withUnsafeMutablePointer(to: &heap.pointee.lock) { $0 })
  }

  /// When the first timer of all Ps fires, or a little before; `TimerHeap.none` when none is armed and nobody sleeps.
  static func earliest() -> Int64 {
    var earliest = TimerHeap.none
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
      guard let p = sched.pointee.allP[index] else { break }
      earliest = min(earliest, p.pointee.timers.nextWhen.load(ordering: .sequentiallyConsistent))
    }
    return earliest
  }

  /// Whether anybody sleeps or any timer is armed that somebody waits for: then no deadlock may be reported.
  package static var arePending: Bool { earliest() != TimerHeap.none }

  /// The heap that the caller puts its timers into. With a P that is lost before the heap is locked it is no longer the
  /// caller's own: that costs nothing but distance, since every heap is somebody's to look after.
  static func heap(of m: MRef) -> TimerHeapRef {
    (m.pointee.p ?? sched.pointee.allP[0].unsafelyUnwrapped).timers
  }

  @inline(__always)
  private static func finish(_ heap: TimerHeapRef, _ m: MRef) {
    if heap.pointee.publish() { note(heap, m) }
    heap.pointee.lock.unlock(m)
  }

  /// Leaves in the M that a heap's first time became earlier.
  private static func note(_ heap: TimerHeapRef, _ m: MRef) {
    let when = max(heap.pointee.nextWhen.load(ordering: .relaxed), 1)
    let before = m.pointee.unannounced
    m.pointee.unannounced = before == 0 ? when : min(before, when)
  }
}

extension UnsafeMutablePointer where Pointee == P {
  /// The P's timers.
  @inline(__always)
  var timers: TimerHeapRef { withUnsafeMutablePointer(to: &pointee.timers) { $0 } }
}
