import CApus
import Synchronization

/// What C, assembly and Swift must agree on (Go's `check`, and the test of thread-local storage in `rt0_go`). A process in
/// which they do not agree ends at once with a message: everything after would corrupt memory.
enum LayoutCheck {
  /// Writes 0x123 as the thread's M and reads it back by the path by which the current M is read; then the real one.
  static func verifyThreadLocal(_ m: MRef) {
    let before = apus_current_m()
    apus_set_current_m(UnsafeMutablePointer(bitPattern: 0x123))
    let read = UInt(bitPattern: apus_current_m())
    apus_set_current_m(before)
    require(read == 0x123, "thread-local storage: the current M does not read back")
  }

  /// Sizes, offsets and atomics, tried on the record of the starting thread.
  static func check(_ m: MRef) {
    require(MemoryLayout<apus_g_head>.size == 32, "the size of G's head")
    require(MemoryLayout<MWords>.size == MemoryLayout<apus_m_words>.size, "the size of M's words")
    require(
      withUnsafePointer(to: m.pointee.words) { UnsafeRawPointer($0) - UnsafeRawPointer(m) }
        == MemoryLayout<apus_m_head>.size, "M's words are not behind its head")
    require(MemoryLayout<SchedHead>.size == MemoryLayout<apus_sched_head>.size, "the size of the scheduler's head")
    m.pointee.words.check(against: m.cM)
    let g = m.g0
    require(offset(of: &g.pointee.head, in: g) == 0, "G's head is not its first field")
    require(offset(of: &m.pointee.head, in: m) == 0, "M's head is not its first field")
    require(UInt(bitPattern: g.slotAddress) % 16 == 0, "G's slot is not aligned")
    require(MemoryLayout<Slot>.size == 64, "G's slot has not 64 bytes")
    require(UInt(bitPattern: g.slotAddress) - UInt(bitPattern: g) == 64, "G's slot is not its second cache line")
    require(MemoryLayout<G>.size <= 192, "G is larger than three cache lines")
    require(MemoryLayout<Entry>.size == 16, "an entry has not two words")
    let word = Atomic<UInt64>(1 << 40)
    require(
      !word.compareExchange(expected: 1, desired: 2, ordering: .sequentiallyConsistent).exchanged
        && word.compareExchange(expected: 1 << 40, desired: 1 << 41, ordering: .sequentiallyConsistent).exchanged
        && word.load(ordering: .sequentiallyConsistent) == 1 << 41, "64-bit compare-exchange")
  }

  /// The same of a P.
  static func check(_ p: PRef) {
    require(offset(of: &p.pointee.m, in: p) == 0, "P's M is not its first field")
    p.pointee.schedTick = 7
    let head = UnsafeMutableRawPointer(p).assumingMemoryBound(to: apus_p_head.self)
    require(head.pointee.sched_tick == 7, "P's tick is not where C writes it")
    require(head.pointee.id == p.pointee.id, "P's number is not where C reads it")
    require(offset(of: &p.pointee.traceWord, in: p) == 16, "P's word of the trace is not where C writes it")
    p.pointee.schedTick = 0
  }

  /// The same of the scheduler's head, which signal handlers read: each field has another value meanwhile.
  static func check(_ head: borrowing SchedHead) {
    let c = withUnsafePointer(to: head) { UnsafeMutableRawPointer(mutating: UnsafeRawPointer($0)) }
      .assumingMemoryBound(to: apus_sched_head.self)
    c.pointee.idle_ms = 1
    c.pointee.stopping = 2
    c.pointee.stop_wait = 3
    c.pointee.stop_wake = 4
    c.pointee.sysmon_wake = 5
    c.pointee.async_preempt_off = 6
    c.pointee.preemptions = 7
    c.pointee.stop_spin = 8
    c.pointee.places_wakes = 9
    c.pointee.placed_wakes = 10
    let agrees =
      head.idleMCount.load(ordering: .relaxed) == 1 && head.stopping.load(ordering: .relaxed) == 2
      && head.stopWait.load(ordering: .relaxed) == 3 && head.stopWake.load(ordering: .relaxed) == 4
      && head.sysmonWake.load(ordering: .relaxed) == 5 && head.asyncPreemptOff.load(ordering: .relaxed) == 6
      && head.preemptions.load(ordering: .relaxed) == 7 && head.stopSpin.load(ordering: .relaxed) == 8
      && head.placesWakes.load(ordering: .relaxed) == 9 && head.placedWakes.load(ordering: .relaxed) == 10
    require(agrees, "the scheduler's words are not where C reads them")
    c.pointee = apus_sched_head()
    let mark = UnsafeMutableRawPointer(bitPattern: 64)
    c.pointee.successor = mark?.assumingMemoryBound(to: apus_m.self)
    require(
      head.successor.load(ordering: .relaxed) == MRef(bitPattern: 64) && head.arrivals.load(ordering: .relaxed) == nil,
      "the scheduler's successor is not where C reads it")
    c.pointee = apus_sched_head()
  }

  private static func offset<Field: ~Copyable, Whole: ~Copyable>(
    of field: UnsafeMutablePointer<Field>, in whole: UnsafeMutablePointer<Whole>
  ) -> Int {
    UnsafeRawPointer(field) - UnsafeRawPointer(whole)
  }

  fileprivate static func require(_ condition: Bool, _ what: StaticString) {
    if condition { return }
    BootMessage.report {
      $0.add("check failed: ")
      $0.add(what)
    }
    apus_exit_now(2)
  }
}

extension MWords {
  /// Whether each word is where C has it: `m`, whose words these are, gets other values meanwhile.
  fileprivate func check(against m: UnsafeMutablePointer<apus_m>) {
    let before = m.pointee.words
    m.pointee.words = apus_m_words(claim: 1, preempt: 2, wake: 3, stopped: 4)
    LayoutCheck.require(
      claim.load(ordering: .relaxed) == 1 && preempt.load(ordering: .relaxed) == 2 && wakeWord == 3
        && stopped.load(ordering: .relaxed) == 4, "M's words are not where C has them")
    m.pointee.words = before
  }
}
