import CApus
import Synchronization

/// A P's queue of runnable goroutines (Go's `runq` and `runnext`): a ring of 256 with one producer, the P's holder, and
/// many consumers; and one slot before it.
///
/// `head` is where consumers take, `tail` where the holder puts; both only grow and wrap. The ring holds tail - head
/// goroutines. Only the holder writes `tail`, with release after it wrote the entry; consumers read it with acquire and
/// move `head` by compare-exchange. A consumer reads an entry before its compare-exchange: if the holder overwrote the
/// entry meanwhile, `head` had moved, so the exchange fails and what was read is thrown away.
///
/// The holder's view is `OwnerQueue`, everybody else's `ThiefQueue`: what only one side may do is not there for the other.
struct RunQueue: ~Copyable {
  static var capacity: UInt32 { 256 }

  /// Consumers write this, and the holder reads it at each put; `tail` and `next` are the holder's lines. Apart, so that
  /// thieves which look do not slow the holder down.
  fileprivate let head = Atomic<UInt32>(0)
  fileprivate let separation = Slot()
  fileprivate let tail = Atomic<UInt32>(0)
  /// The address of the goroutine to run next, 0 for none: what the running goroutine just made ready. It inherits the
  /// running slice, so that two goroutines which wake each other are one unit to the scheduler.
  fileprivate let next = Atomic<UInt>(0)
  fileprivate let ring: UnsafeMutablePointer<Atomic<UInt>>

  init() {
    ring = PersistentMemory.map(bytes: 8 * Int(Self.capacity)).bindMemory(
      to: Atomic<UInt>.self, capacity: Int(Self.capacity))
  }

  /// True when the queue holds nothing. Three reads cannot see one state, so they are repeated until `tail` stood still:
  /// without that a goroutine kicked from `next` into the ring between two reads would be in neither (Go's `runqempty`).
  var isEmpty: Bool {
    while true {
      let h = head.load(ordering: .sequentiallyConsistent)
      let t = tail.load(ordering: .sequentiallyConsistent)
      let n = next.load(ordering: .sequentiallyConsistent)
      if t == tail.load(ordering: .sequentiallyConsistent) { return h == t && n == 0 }
    }
  }

  /// How many the ring holds; old by the time it is known.
  var ringCount: Int { Int(tail.load(ordering: .relaxed) &- head.load(ordering: .relaxed)) }

  /// How many it holds; old by the time it is known.
  var count: Int {
    ringCount + (next.load(ordering: .relaxed) == 0 ? 0 : 1)
  }
}

/// The queue as the P's holder may use it.
struct OwnerQueue {
  private let p: PRef

  @inline(__always)
  init(_ p: PRef) {
    self.p = p
  }

  /// True when nothing is queued; cheap, and exact for what the holder itself put there.
  @inline(__always)
  var isEmpty: Bool {
    p.pointee.queue.next.load(ordering: .relaxed) == 0
      && p.pointee.queue.head.load(ordering: .relaxed) == p.pointee.queue.tail.load(ordering: .relaxed)
  }

  /// How many more the ring takes; thieves may make it more at any time.
  var room: Int {
    let used = p.pointee.queue.tail.load(ordering: .relaxed) &- p.pointee.queue.head.load(ordering: .acquiring)
    return Int(RunQueue.capacity - used)
  }

  /// Makes `g` the next to run; the one that was goes to the end of the ring. The exchange is also the full barrier that
  /// `Spinning.wake` needs between a submission and its look at the idle threads.
  @inline(__always)
  func putNext(_ g: GRef) {
    let before = p.pointee.queue.next.exchange(UInt(bitPattern: g), ordering: .sequentiallyConsistent)
    if before != 0 { put(GRef(bitPattern: before).unsafelyUnwrapped) }
  }

  /// Puts `g` at the end of the ring; when that is full, half of it and `g` go to the global queue.
  @inline(__always)
  func put(_ g: GRef) {
    let h = p.pointee.queue.head.load(ordering: .acquiring)
    let t = p.pointee.queue.tail.load(ordering: .relaxed)
    if t &- h < RunQueue.capacity {
      p.pointee.queue.ring[Int(t & 255)].store(UInt(bitPattern: g), ordering: .relaxed)
      p.pointee.queue.tail.store(t &+ 1, ordering: .releasing)
      return
    }
    overflow(g, h, t)
  }

  /// `put`, with the full barrier that a submission needs (Spinning.swift).
  @inline(__always)
  func putLast(_ g: GRef) {
    put(g)
    let t = p.pointee.queue.tail.load(ordering: .relaxed)
    p.pointee.queue.tail.store(t, ordering: .sequentiallyConsistent)
  }

  /// Go's `runqputslow`.
  @inline(never)
  private func overflow(_ g: GRef, _ head: UInt32, _ tail: UInt32) {
    var h = head
    while true {
      let count = p.pointee.queue.tail.load(ordering: .relaxed) &- h
      guard count == RunQueue.capacity else {
        // Thieves came: there is room now.
        put(g)
        return
      }
      let half = RunQueue.capacity / 2
      let result = p.pointee.queue.head.compareExchange(
        expected: h, desired: h &+ half, successOrdering: .acquiringAndReleasing, failureOrdering: .acquiring)
      guard result.exchanged else {
        h = result.original
        continue
      }
      // The entries below the new head are the holder's alone until it moves `tail` past them again.
      GlobalQueue.put(
        Int(half),
        { i in
          let bits = p.pointee.queue.ring[(Int(h) &+ i) & 255].load(ordering: .relaxed)
          return GRef(bitPattern: bits).unsafelyUnwrapped
        }, andThen: g)
      return
    }
  }

  /// The next goroutine to run, and whether it shares the slice of the one before (it came from `next`).
  @inline(__always)
  func take() -> (g: GRef, inherits: Bool)? {
    if p.pointee.inheritStreak < Self.longestStreak {
      if let g = takeNext() {
        p.pointee.inheritStreak &+= 1
        return (g, true)
      }
      if let g = takeFromRing() {
        p.pointee.inheritStreak = 0
        return (g, false)
      }
      return nil
    }
    // Two goroutines that wake each other come from `next` for ever: now and then the ring is first, and their turn
    // counts as one, so that the global queue's comes too.
    p.pointee.inheritStreak = 0
    if let g = takeFromRing() ?? takeNext() { return (g, false) }
    return nil
  }

  /// How many goroutines in a row may come from `next`.
  private static var longestStreak: UInt32 { 61 }

  @inline(__always)
  private func takeNext() -> GRef? {
    let n = p.pointee.queue.next.load(ordering: .relaxed)
    // Only the holder sets `next`; a thief may take it away, then the exchange fails and it is gone.
    guard n != 0,
      p.pointee.queue.next.compareExchange(
        expected: n, desired: 0, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed
      ).exchanged
    else { return nil }
    return GRef(bitPattern: n).unsafelyUnwrapped
  }

  @inline(__always)
  private func takeFromRing() -> GRef? {
    while true {
      let h = p.pointee.queue.head.load(ordering: .acquiring)
      let t = p.pointee.queue.tail.load(ordering: .relaxed)
      if h == t { return nil }
      let bits = p.pointee.queue.ring[Int(h & 255)].load(ordering: .relaxed)
      if p.pointee.queue.head.compareExchange(
        expected: h, desired: h &+ 1, successOrdering: .releasing, failureOrdering: .relaxed
      ).exchanged {
        if h &+ 1 != t { prefetch(after: h, upTo: t) }
        return GRef(bitPattern: bits).unsafelyUnwrapped
      }
    }
  }

  /// Has the processor fetch what the next turns will need, while this one runs: a record may lie in the cache of the
  /// processor that made the goroutine ready, or that this queue was stolen from; and where many have waited for long, a
  /// stack is nowhere near. Its address stands in the record, which the turn before has fetched.
  @inline(__always)
  private func prefetch(after h: UInt32, upTo t: UInt32) {
    let ring = p.pointee.queue.ring
    let next = GRef(bitPattern: ring[Int((h &+ 1) & 255)].load(ordering: .relaxed))
    next?.prefetchToWrite()
    if h &+ 2 == t { return }
    GRef(bitPattern: ring[Int((h &+ 2) & 255)].load(ordering: .relaxed))?.prefetchToWrite()
    // A thief may have it by now, and run it: then this is no address of interest.
    guard let next else { return }
    let top = apus_peek_word(next)
    apus_prefetch(top)
    apus_prefetch(top &+ 128)
  }

  /// Calls `body` with up to `limit` of those that come next, which thieves may take meanwhile.
  func peek(_ limit: UInt32, _ body: (GRef) -> Void) {
    let h = p.pointee.queue.head.load(ordering: .acquiring)
    let count = min(p.pointee.queue.tail.load(ordering: .relaxed) &- h, limit)
    for i in 0..<count {
      let bits = p.pointee.queue.ring[Int((h &+ i) & 255)].load(ordering: .relaxed)
      if let g = GRef(bitPattern: bits) { body(g) }
    }
  }

  /// Takes everything, for a P that is put away.
  func drain(into queue: inout ChunkedQueue) {
    while let taken = take() { queue.append(taken.g) }
  }

  /// Steals half of the victim's ring into this one, which is empty; returns one of the stolen to run. With `takeNext`
  /// it takes the victim's `next` when the ring is empty (Go's `runqsteal`).
  func steal(from victim: PRef, takeNext: Bool) -> GRef? {
    let t = p.pointee.queue.tail.load(ordering: .relaxed)
    let n = ThiefQueue(victim).grab(into: p.pointee.queue.ring, at: t, takeNext: takeNext)
    if n == 0 { return nil }
    let last = t &+ (n &- 1)
    let bits = p.pointee.queue.ring[Int(last & 255)].load(ordering: .relaxed)
    assert(last &- p.pointee.queue.head.load(ordering: .acquiring) < RunQueue.capacity, "stole more than fits")
    if n > 1 { p.pointee.queue.tail.store(last, ordering: .releasing) }
    return GRef(bitPattern: bits)
  }
}

/// The queue as anybody else may use it.
struct ThiefQueue {
  private let p: PRef

  init(_ p: PRef) {
    self.p = p
  }

  /// Copies half of the ring to `ring` from position `at` and takes it away; the number taken (Go's `runqgrab`).
  fileprivate func grab(into ring: UnsafeMutablePointer<Atomic<UInt>>, at: UInt32, takeNext: Bool) -> UInt32 {
    while true {
      let h = p.pointee.queue.head.load(ordering: .acquiring)
      let t = p.pointee.queue.tail.load(ordering: .acquiring)
      let held = t &- h
      let n = held &- held / 2
      if n == 0 {
        guard takeNext else { return 0 }
        let next = p.pointee.queue.next.load(ordering: .relaxed)
        guard next != 0 else { return 0 }
        // A running victim is about to run what it just made ready: let it, unless it seems to be busy with something
        // long. Taking it at once would make two goroutines that wake each other wander between the Ps.
        if p.pointee.status == .running { Thread.pauseBriefly() }
        if p.pointee.queue.next.compareExchange(
          expected: next, desired: 0, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed
        ).exchanged {
          ring[Int(at & 255)].store(next, ordering: .relaxed)
          return 1
        }
        continue
      }
      // `head` and `tail` are read one after the other; between them the holder may have moved both.
      if n > RunQueue.capacity / 2 { continue }
      for i in 0..<Int(n) {
        let bits = p.pointee.queue.ring[(Int(h) &+ i) & 255].load(ordering: .relaxed)
        ring[(Int(at) &+ i) & 255].store(bits, ordering: .relaxed)
      }
      if p.pointee.queue.head.compareExchange(
        expected: h, desired: h &+ n, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed
      ).exchanged {
        return n
      }
    }
  }
}
