import Synchronization

/// The address of a timer's record, which its user owns.
public typealias TimerRecordRef = UnsafeMutablePointer<TimerRecord>

/// Something that is to happen at a time and can be called off: a timer channel's alarm, a timer's function, the `.after`
/// of a select. (A goroutine that sleeps needs none: nobody calls a sleep off, so it stands in the heap itself.)
///
/// A record lives in memory of its user's: beside a channel's state, in a timer's box, in the slot of a select's frame.
/// There is no pool of them, as nothing refers to a record once `Timers.remove` has returned; and no lock of its own.
/// Everything in it is under the lock of its *home*, the heap that it is in or was in last: Go has a lock for each timer and another
/// for each heap, and takes both. `home` changes only under the old home's lock and while the record is in no heap, so
/// whoever locks the home that it read and reads the same one again has the record.
public struct TimerRecord: ~Copyable {
  let home: Atomic<TimerHeapRef>

  // Under the home's lock.
  /// Its place in the heap; -1 when it is in none.
  package var index: Int32 = -1
  /// It is to fire. A record in the heap that is not wanted is dead weight (Go's zombie): it is dropped when it comes to
  /// the top, or swept with others, or wanted again, which then costs no change of the heap.
  package var isWanted = false
  /// True from when it was taken out of the heap, under the lock, until its function has returned, outside. Meanwhile it
  /// may be armed again, but is not taken out again.
  package let isFiring = Atomic<Bool>(false)
  /// When it is to fire. Never before the time in the heap's entry; when it is later, the entry is brought up to date
  /// when it comes to the top.
  package var alarm: Int64 = 0
  /// The next of those that fire together.
  package var link: TimerRecordRef?

  let fire: @convention(c) (UnsafeMutableRawPointer) -> Void
  let context: UnsafeMutableRawPointer

  /// A record that is not armed. When it fires, `fire(context)` is called on a scheduler's stack, with a P and no lock
  /// held: it must not park and not allocate, and may make goroutines ready.
  public init(_ context: UnsafeMutableRawPointer, fire: @convention(c) (UnsafeMutableRawPointer) -> Void) {
    home = Atomic(Timers.heap(of: currentM()))
    self.context = context
    self.fire = fire
  }
}

extension UnsafeMutablePointer where Pointee == TimerRecord {
  /// Locks the record's home, and returns it.
  func lockHome(_ m: MRef) -> TimerHeapRef {
    while true {
      let heap = pointee.home.load(ordering: .acquiring)
      heap.pointee.lock.lock(m)
      if pointee.home.load(ordering: .relaxed) == heap { return heap }
      heap.pointee.lock.unlock(m)
    }
  }
}
