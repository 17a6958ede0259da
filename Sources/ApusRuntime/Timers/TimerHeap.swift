import Synchronization

/// The address of a P's timers. They lie in the P's record, which is never freed.
public typealias TimerHeapRef = UnsafeMutablePointer<TimerHeap>

/// What a P's goroutines wait for by the clock (Go's `timers`): a heap in which every node has four children, the
/// earliest on top.
///
/// Compared to Go's heap: an entry that stands for a sleeping goroutine is the goroutine itself, so sifting such entries
/// touches nothing but the array; entries are 16 bytes and laid out so that the four children of a node share one cache
/// line. Records know their place, so that a record may be moved or taken out wherever it is.
///
/// Functions of this type expect the lock to be held, except where they say otherwise.
public struct TimerHeap: ~Copyable {
  var lock = RuntimeLock(.timers)

  /// When the first of them fires, or a little before (a dead or postponed entry on top); `none` when no live one is
  /// left. Written under the lock, read by everybody (how an earlier time reaches whoever has to know it is argued in
  /// IdleWait.swift).
  package let nextWhen = Atomic<Int64>(TimerHeap.none)

  /// The cycle counter at the last look at the clock in `isDue`. The holder's of the P.
  var lookedAt: UInt64 = 0

  // Under lock.
  private(set) var entries: UnsafeMutablePointer<Entry>
  package private(set) var count = 0
  private var capacity = 0
  /// Entries of records that are not wanted.
  package var dead = 0

  /// No time: later than all times.
  package static var none: Int64 { Int64.max }
  /// The latest time that can be waited for, 292 years after the machine started.
  package static var latest: Int64 { Int64.max - 1 }

  /// One waiter: a goroutine that sleeps or a record.
  package struct Entry {
    var when: Int64
    /// The address of a goroutine plus 1, or that of a record.
    var item: UInt

    init(when: Int64, sleeper: GRef) {
      self.when = when
      item = UInt(bitPattern: sleeper) | 1
    }

    package init(when: Int64, record: TimerRecordRef) {
      self.when = when
      item = UInt(bitPattern: record)
    }

    @inline(__always)
    var sleeper: GRef? { item & 1 == 0 ? nil : GRef(bitPattern: item & ~1) }

    @inline(__always)
    var record: TimerRecordRef { TimerRecordRef(bitPattern: item).unsafelyUnwrapped }
  }

  package init() {
    // Never dereferenced while the capacity is 0: most Ps of most programs never have a timer.
    entries = UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped
  }

  /// How many of them are to fire.
  package var live: Int { count - dead }

  /// Makes the first time known; true when it is earlier than it was, so that it has to be announced.
  package mutating func publish() -> Bool {
    let next = live == 0 ? Self.none : entries[0].when
    let before = nextWhen.load(ordering: .relaxed)
    if next == before { return false }
    if next > before {
      nextWhen.store(next, ordering: .releasing)
      return false
    }
    nextWhen.store(next, ordering: .sequentiallyConsistent)
    return true
  }

  package mutating func insert(_ entry: Entry) {
    if count == capacity { grow() }
    count += 1
    siftUp(entry, from: count - 1)
  }

  mutating func removeFirst() {
    remove(at: 0)
  }

  package mutating func remove(at index: Int) {
    let gone = entries[index]
    if gone.sleeper == nil { gone.record.pointee.index = -1 }
    count -= 1
    if index == count { return }
    let moved = entries[count]
    if moved.when < gone.when { siftUp(moved, from: index) } else { siftDown(moved, from: index) }
  }

  /// Moves the entry at `index` to a new time.
  mutating func move(at index: Int, to when: Int64) {
    var entry = entries[index]
    let before = entry.when
    entry.when = when
    if when < before { siftUp(entry, from: index) } else { siftDown(entry, from: index) }
  }

  /// Drops the dead entries when they are more than a quarter of all, so that they cost a constant each. (Go leaves it to
  /// the P's holder; here it is done where they come to be too many, as the lock is held anyway.)
  package mutating func sweepIfWorthwhile() {
    if dead <= 16 || dead * 4 <= count { return }
    var kept = 0
    for index in 0..<count {
      let entry = entries[index]
      if entry.sleeper == nil && !entry.record.pointee.isWanted {
        entry.record.pointee.index = -1
      } else {
        put(entry, at: kept)
        kept += 1
      }
    }
    count = kept
    dead = 0
    // From the last node that has a child up: linear.
    var index = (count + 2) / 4
    while index > 0 {
      index -= 1
      siftDown(entries[index], from: index)
    }
  }

  @inline(__always)
  private func put(_ entry: Entry, at index: Int) {
    entries[index] = entry
    if entry.sleeper == nil { entry.record.pointee.index = Int32(truncatingIfNeeded: index) }
  }

  private func siftUp(_ entry: Entry, from start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) >> 2
      let above = entries[parent]
      if above.when <= entry.when { break }
      put(above, at: index)
      index = parent
    }
    put(entry, at: index)
  }

  private func siftDown(_ entry: Entry, from start: Int) {
    var index = start
    while true {
      let first = index << 2 + 1
      if first >= count { break }
      var least = first
      var leastWhen = entries[first].when
      for child in (first + 1)..<max(min(first + 4, count), first + 1) {
        let when = entries[child].when
        if when < leastWhen {
          least = child
          leastWhen = when
        }
      }
      if leastWhen >= entry.when { break }
      put(entries[least], at: index)
      index = least
    }
    put(entry, at: index)
  }

  /// Twice the room. Straight from the kernel, since malloc's lock may be held by a goroutine that was stopped. The
  /// first entry lies 48 bytes into a page: then entries 1 to 4, 5 to 8 … fill cache lines.
  private mutating func grow() {
    let bytes = capacity == 0 ? 4096 : 2 * (capacity * MemoryLayout<Entry>.stride + Self.offset)
    let memory = PersistentMemory.map(bytes: bytes) + Self.offset
    let wider = memory.bindMemory(to: Entry.self, capacity: (bytes - Self.offset) / MemoryLayout<Entry>.stride)
    if count > 0 { wider.initialize(from: entries, count: count) }
    if capacity > 0 {
      PersistentMemory.unmap(
        UnsafeMutableRawPointer(entries) - Self.offset, bytes: capacity * MemoryLayout<Entry>.stride + Self.offset)
    }
    entries = wider
    capacity = (bytes - Self.offset) / MemoryLayout<Entry>.stride
  }

  private static var offset: Int { 48 }

  /// Whether the heap's invariants hold; for assertions and tests.
  package func isConsistent() -> Bool {
    var dead = 0
    for index in 0..<count {
      let entry = entries[index]
      if index > 0 && entries[(index - 1) >> 2].when > entry.when { return false }
      if entry.sleeper != nil { continue }
      if entry.record.pointee.index != index || entry.record.pointee.alarm < entry.when { return false }
      if !entry.record.pointee.isWanted { dead += 1 }
    }
    return dead == self.dead
  }
}
