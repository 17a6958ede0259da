import CApus
import Synchronization

/// Keeps the stacks of goroutines that wait for long elsewhere (`Shelf`): 0.5 KB for each instead of a page and more.
///
/// ## When
///
/// Only where the program asks for it, by APUS_SHELVE or by a call: a system call that foreign code makes with a pointer into
/// a stack that is away fails. Before that there is neither the goroutine nor the table of words, and sysmon looks at one
/// word.
///
/// With a period of a minute sysmon asks for a pass every minute; a goroutine of the runtime's makes it. It looks at all
/// records twice, so to speak: a goroutine that waits, and was seen waiting at the pass before (`G.wasSeenWaiting`), has
/// waited for a minute. What parks, or makes ready, forgets that the goroutine was seen: it lies in the word of the reason,
/// which both store anyway.
///
/// To take a stack and bring it back costs about 9 µs, or 15 without userfaultfd. A hundred thousand goroutines that all
/// wake once a minute, each just after its stack was taken, would so lose 1.5 or 2.5 percent of a processor; that is the
/// worst case. Go shrinks a stack at a collection, two minutes after the last at the latest.
///
/// The pass pauses nine times as long as it works, and holds a P for a quarter of a millisecond at most.
///
/// ## Which
///
/// Goroutines of the program but the first, which keep no thread, with at most three kilobytes in use. Whoever is in the kernel
/// does not wait but runs.
///
/// ## How it is claimed
///
/// The shelver does not have the goroutine: whoever makes it ready may do so at any moment, knows nothing of this, and must
/// not pay for it. The order is:
///
/// 1. The word of the stack's slot says that it is in hand, then the goroutine's bit `G.isShelved` is set.
/// 2. A barrier in all threads (`ThreadBarrier`).
/// 3. If the goroutine is still marked as seen waiting, it is claimed. Else the word is reset and nothing has happened.
///
/// Who makes the goroutine ready overwrites the mark, and after that somebody reads the bit and runs it. If the shelver sees
/// the mark after the barrier, the overwriting store comes after the barrier in its thread, and so does every later look
/// at the bit, there or in the thread that gets the goroutine from it: it is seen set. Then the scheduler loop looks at the
/// word, and waits while the stack is in hand. So nobody who runs goroutines pays for it but by the test of the byte that
/// has this bit among others. Where the claim fails, the bit may stay: it costs the goroutine one way through the
/// scheduler loop, which takes it away.
///
/// A goroutine is marked as waiting before its registers are saved. Between the pass that sees it waiting and the one that
/// takes its stack, the world stands still once: who was about to leave its stack has left it. Nobody marks a goroutine but
/// the shelver, so one that has waited anew meanwhile is not mistaken for the one that was seen.
package struct Shelver: ~Copyable {
  private enum State: UInt8 { case off, on, impossible }

  private let work = SemaphoreRoot(0)
  /// Held by a scheduler loop that brings stacks back (`Shelf`).
  let restoring = RuntimeLock(.shelf)
  /// Held by whoever starts it, or sets another period.
  private let entry = SemaphoreRoot(1)
  private let state = Atomic<UInt8>(State.off.rawValue)
  /// A period beyond the bounds was complained about.
  private let hasComplained = Atomic<Bool>(false)
  /// How many nanoseconds a goroutine waits at least.
  private let period = Atomic<Int64>(0)
  /// When the next pass is due; `Int64.max` during one, and where there is none.
  private let due = Atomic<Int64>(Int64.max)
  /// Whether the last pass has left something to do, and how many goroutines had begun to run then.
  private let isPending = Atomic<Bool>(false)
  private let switches = Atomic<UInt64>(0)
  // The goroutine's own.
  private var records = ShelfRecords()
  private var hasSeen = false

  init() {}

  /// How many stacks are taken at once: whoever runs one of the goroutines waits meanwhile.
  private static var batch: Int { 16 }
  /// How much longer than the work the pauses are.
  private static var pause: Int64 { 9 }

  private static var shelver: UnsafeMutablePointer<Shelver> {
    withUnsafeMutablePointer(to: &sched.pointee.shelver) { $0 }
  }

  static var isOn: Bool { shelver.pointee.state.load(ordering: .relaxed) == State.on.rawValue }

  /// Does what APUS_SHELVE asks for. On goroutine 1, before `main`.
  static func startIfAsked() {
    let period = sched.pointee.knobs.shelving
    if period == 0 || start(after: period) { return }
    BootMessage.report { $0.add("APUS_SHELVE: this system cannot do it (Linux 6.13 can, with a /proc); ignored") }
  }

  /// Has stacks taken when their goroutines have waited for `period` nanoseconds, from the next pass on. False, with nothing
  /// changed, for a period beyond the bounds, which is reported the first time; where the kernel cannot do it; and in another
  /// program's process, whose faults are its own.
  package static func start(after period: Int64) -> Bool {
    LazyStart.ensure()
    if period < Knobs.shortestShelving || period > Knobs.longestShelving {
      if !shelver.pointee.hasComplained.exchange(true, ordering: .relaxed) {
        BootMessage.report { $0.add("stacks cannot be shelved after less than 1 ms or more than 24 h; ignored") }
      }
      return false
    }
    shelver.pointee.entry.acquire(1, .shelfWait)
    defer { shelver.pointee.entry.release() }
    if shelver.pointee.state.load(ordering: .relaxed) == State.off.rawValue {
      shelver.pointee.period.store(period, ordering: .relaxed)
      prepare()
    } else if isOn {
      shelver.pointee.period.store(period, ordering: .relaxed)
      // During a pass there is no due moment; it sets the next.
      let due = shelver.pointee.due.load(ordering: .relaxed)
      if due != Int64.max {
        _ = shelver.pointee.due.compareExchange(expected: due, desired: Clock.nanotime() &+ period, ordering: .relaxed)
      }
    }
    return isOn
  }

  /// Makes what is needed, and starts the goroutine.
  private static func prepare() {
    guard apus_get_initial_sp() != 0, ThreadBarrier.isAvailable,
      apus_shelf_open(sched.pointee.facts.pageSize, sched.pointee.knobs.userfaultfdoff == 0) == 0,
      shelver.pointee.records.reserve()
    else {
      shelver.pointee.state.store(State.impossible.rawValue, ordering: .relaxed)
      return
    }
    let m = acquireM()
    StackPools.shelve(on: m) { shelver.pointee.state.store(State.on.rawValue, ordering: .relaxed) }
    releaseM(m)
    SystemGoroutine.start { Shelver.run() }
    setDue()
  }

  private static func setDue() {
    let period = shelver.pointee.period.load(ordering: .relaxed)
    shelver.pointee.due.store(Clock.nanotime() &+ period, ordering: .releasing)
  }

  /// Has a pass made if it is time to. sysmon's.
  static func check(at now: Int64) {
    let due = shelver.pointee.due.load(ordering: .relaxed)
    if due > now { return }
    if shelver.pointee.due.compareExchange(expected: due, desired: Int64.max, ordering: .relaxed).exchanged {
      shelver.pointee.work.release()
    }
  }

  /// When sysmon has to come back for a pass though all Ps are idle: once nothing is left to do, never.
  static var nextPass: Int64 {
    let due = shelver.pointee.due.load(ordering: .relaxed)
    if due == Int64.max { return due }
    let isPending =
      shelver.pointee.isPending.load(ordering: .relaxed)
      || WaitScan.countSwitches() != shelver.pointee.switches.load(ordering: .relaxed)
    return isPending ? due : Int64.max
  }

  private static func run() {
    while true {
      shelver.pointee.work.acquire(1, .shelfWait)
      if !apus_shelf_is_guarded() { return giveUp() }
      let found = pass()
      // Without a section: it takes no lock, and nobody waits for the records.
      shelver.pointee.records.collect()
      shelver.pointee.isPending.store(found, ordering: .relaxed)
      shelver.pointee.switches.store(WaitScan.countSwitches(), ordering: .relaxed)
      setDue()
    }
  }

  /// Somebody has put another handler for SIGSEGV in place of ours, which does not know of stacks that are away: all come
  /// back, and none is taken any more. What is touched between the change and the next pass is that handler's; nobody tells
  /// of the change.
  private static func giveUp() {
    shelver.pointee.state.store(State.impossible.rawValue, ordering: .relaxed)
    shelver.pointee.isPending.store(false, ordering: .relaxed)
    withUnsafeTemporaryAllocation(of: UInt.self, capacity: Int(APUS_SHELF_BATCH)) { tops in
      var count = 0
      func bringBack() {
        apus_shelf_restore(tops.baseAddress, count)
        count = 0
      }
      GoroutineRegistry.eachRecord(of: slabs()) { g in
        // One that has ended and begun again meanwhile has another stack, maybe; to bring back a stack is never wrong.
        let top = g.peekStackTop
        if g.pointee.needsCare & G.isShelved == 0 || top == 0 || apus_shelf_peek(top) == nil { return }
        tops[count] = top
        count += 1
        if count == tops.count { bringBack() }
      }
      bringBack()
    }
    shelver.pointee.records.collect()
    BootMessage.report { $0.add("there is another handler for SIGSEGV: stacks are not kept elsewhere any more") }
  }

  /// Takes the stacks of those that were seen waiting, and marks those that were not; true if there was any.
  private static func pass() -> Bool {
    if shelver.pointee.hasSeen { StopTheWorld.run(.processors, for: .stacks) { _ in } }
    shelver.pointee.hasSeen = false
    var hasTaken = false
    withUnsafeTemporaryAllocation(of: GRef.self, capacity: batch) { chosen in
      var count = 0
      GoroutineRegistry.eachRecord(of: slabs()) { g in
        if !consider(g) { return }
        chosen[count] = g
        count += 1
        if count < chosen.count { return }
        hasTaken = take(chosen, count) || hasTaken
        count = 0
      }
      hasTaken = take(chosen, count) || hasTaken
    }
    return hasTaken || shelver.pointee.hasSeen
  }

  private static func slabs() -> UnsafeMutablePointer<GoroutineRegistry.SlabHeader>? {
    let m = acquireM()
    defer { releaseM(m) }
    return GoroutineRegistry.lockedSlabs(m)
  }

  /// Whether the stack of `g` may be taken. Marks it if it waits and was not seen.
  private static func consider(_ g: GRef) -> Bool {
    if g.pointee.status != .waiting || g.pointee.kind != .user || g.pointee.head.id == Sched.mainID { return false }
    let word = g.pointee.waitWord.load(ordering: .relaxed)
    if word & UInt32(G.wasSeenWaiting) != 0 {
      return g.pointee.needsCare & ~G.isShelved == 0 && apus_shelf_peek(g.peekStackTop) == nil && isSmall(g)
    }
    if word & 0xff != 0 {
      let marked = word | UInt32(G.wasSeenWaiting)
      if g.pointee.waitWord.compareExchange(expected: word, desired: marked, ordering: .relaxed).exchanged {
        shelver.pointee.hasSeen = true
      }
    }
    return false
  }

  private static func isSmall(_ g: GRef) -> Bool {
    let (sp, top) = (g.peekStackPointer, g.peekStackTop)
    return sp < top && top - sp <= UInt(APUS_SHELF_LIMIT)
  }

  /// Claims the goroutines of a batch and takes their stacks; true if there was one to be taken.
  private static func take(_ batch: UnsafeMutableBufferPointer<GRef>, _ count: Int) -> Bool {
    if count == 0 { return false }
    let start = Clock.threadTime()
    let m = acquireM()
    let mask = apus_shelf_hold_signals()
    let taken = withUnsafeTemporaryAllocation(of: apus_shelf_entry.self, capacity: count) { entries in
      takeClaimed(entries, claim(batch, count, entries))
    }
    apus_shelf_let_signals(mask)
    releaseM(m)
    Timers.sleep(until: Clock.nanotime() + (Clock.threadTime() - start) * pause)
    return taken > 0
  }

  /// Claims what can be claimed; how many entries were written for it, in ascending order of address.
  private static func claim(
    _ batch: UnsafeMutableBufferPointer<GRef>, _ count: Int, _ entries: UnsafeMutableBufferPointer<apus_shelf_entry>
  ) -> Int {
    var (candidates, claimed) = (0, 0)
    for index in 0..<count {
      let top = batch[index].peekStackTop
      guard top != 0, let word = apus_shelf_word(top - 1), apus_shelf_load(word) == 0 else { continue }
      apus_shelf_store(word, UInt(APUS_SHELF_TAKING))
      batch[index].pointee.careBits.bitwiseOr(G.isShelved, ordering: .sequentiallyConsistent)
      batch[candidates] = batch[index]
      entries[candidates] = apus_shelf_entry(top: top, word: word, record: nil)
      candidates += 1
    }
    let hasBarrier = candidates > 0 && ThreadBarrier.run()
    for index in 0..<candidates {
      var entry = entries[index]
      if hasBarrier, isClaimed(batch[index], entry.top),
        let record = shelver.pointee.records.take(from: batch[index].pointee.head.sp, to: entry.top)
      {
        entry.record = record
        // By insertion: they come nearly in order.
        var place = claimed
        while place > 0, entries[place - 1].top > entry.top {
          entries[place] = entries[place - 1]
          place -= 1
        }
        entries[place] = entry
        claimed += 1
      } else {
        apus_shelf_store(entry.word, UInt(APUS_SHELF_NONE))
      }
    }
    return claimed
  }

  private static func isClaimed(_ g: GRef, _ top: UInt) -> Bool {
    g.pointee.waitWord.load(ordering: .acquiring) & UInt32(G.wasSeenWaiting) != 0
      && g.pointee.statusWord.load(ordering: .acquiring) & 3 == GStatus.waiting.rawValue
      && g.pointee.needsCare == G.isShelved && g.peekStackTop == top && isSmall(g)
  }

  private static func takeClaimed(_ entries: UnsafeMutableBufferPointer<apus_shelf_entry>, _ count: Int) -> Int {
    if count == 0 { return 0 }
    let taken = apus_shelf_take(entries.baseAddress, count)
    // A record of one that was taken may already be on its way back.
    for index in 0..<count where entries[index].top == 0 { shelver.pointee.records.putBack(entries[index].record) }
    return taken
  }
}
