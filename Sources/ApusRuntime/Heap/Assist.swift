import CApus
import Synchronization

/// Marking by those who allocate while the collector marks (Go's `gcAssistAlloc`): as much for each byte as the pacer asks
/// for. What the background workers have done counts first.
enum Assist {
  /// How much is marked inside one section.
  private static var sectionBytes: Int { 32 << 10 }

  /// Pays for what the P has taken, and for `bytes` more. The caller is in no section.
  @inline(never)
  static func pay(owing bytes: Int) {
    let m = acquireM()
    guard let p = m.pointee.p else {
      releaseM(m)
      return
    }
    let debt = p.pointee.heap.debt + bytes
    p.pointee.heap.debt = 0
    releaseM(m)
    let collector = Collector.collector
    // The debt is this cycle's: it may end below, and the next one begin.
    let cycle = collector.pointee.cycle.load(ordering: .acquiring)
    heap.pointee.pacer.revise()
    if collector.pointee.assistsAreOff.load(ordering: .relaxed) { return }
    if heap.pointee.pacer.isLimited.load(ordering: .relaxed) { return }
    let ratio = heap.pointee.pacer.assistRatio
    // With no room left the ratio is huge: then everything there is.
    let wanted = min(Double(debt) * ratio, 1e15)
    var work = Int(wanted) - takeCredit(upTo: Int(wanted))
    if work <= 0 { return }
    if Trace.isOn { Trace.beginAssist() }
    var hasMore = true
    // The goroutine stays on its thread: where it is stopped between two sections, the thread is.
    let start = Clock.threadTime()
    var waited: Int64 = 0
    while work > 0 && (hasMore || (heap.pointee.pacer.isBeyondGoal && othersLeaveWork(&waited))) {
      // No section is for a handful of bytes: where most of what it looks at is marked, it would pay for one.
      work -= max(mark(min(max(work, 1024), sectionBytes), leavesRest: true, &hasMore), 1)
    }
    heap.pointee.pacer.assistTime.wrappingAdd(max(Clock.threadTime() - start - waited, 0), ordering: .relaxed)
    if !hasMore && MarkWork.isDone && !Collector.isLeftToWorkers { _ = Collector.finish(waits: false) }
    if work > 0 && heap.pointee.pacer.isBeyondGoal && Collector.manyWaitInPlace { pushOn(cycle, &work) }
    MarkWorkers.wakeIfAllSleep()
    // Others have the rest of the work, and perhaps no processor at the moment. The heap must not run away meanwhile.
    if work > 0 && heap.pointee.pacer.isBeyondGoal { Collector.waitInPlace(for: cycle) }
    if Trace.isOn { Trace.endAssist() }
  }

  /// Tries to have cycle number `cycle` end, for a millisecond at the most, by one who would have to wait for that with his
  /// thread as many others do. What keeps it from ending is mostly that a thread in the middle of it has no CPU. What is
  /// marked is taken from `work`. The caller wakes a worker afterwards if all sleep: one may have looked for work in vain while
  /// this had it in a section, and relied on it.
  private static func pushOn(_ cycle: UInt32, _ work: inout Int) {
    let end = Clock.nanotime() + 1_000_000
    var hasMore = true
    while work > 0 && Collector.isMarking(in: cycle) && Clock.nanotime() < end {
      // Not without need: those who do this at once would look like markers to each other.
      if hasMore || MarkWork.hasWork {
        let start = Clock.threadTime()
        work -= mark(sectionBytes, leavesRest: true, &hasMore)
        heap.pointee.pacer.assistTime.wrappingAdd(Clock.threadTime() - start, ordering: .relaxed)
        continue
      }
      if MarkWork.isDone && Collector.finish(waits: false) { return }
      Thread.yield()
    }
  }

  /// Whether those who mark at the moment leave something to others within 50 microseconds. They do as soon as they have a
  /// handful of objects; and to sleep until the cycle ends, and let another thread have the processor, takes longer. The
  /// caller is in no section. The time counts as nobody's work, not for the pacer, nor for the limit of assists: it is added
  /// to `waited`, in nanoseconds.
  static func othersLeaveWork(_ waited: inout Int64) -> Bool {
    if !MaxProcs.haveCPUs() { return false }
    let start = Clock.nanotime()
    defer { waited += Clock.nanotime() - start }
    let end = start + 50_000
    while heap.pointee.markWork.active.load(ordering: .sequentiallyConsistent) != 0 && apus_is_marking() != 0 {
      if MarkWork.hasWork { return true }
      if Clock.nanotime() > end { return false }
      apus_spin_hint()
    }
    return MarkWork.hasWork
  }

  private static func takeCredit(upTo wanted: Int) -> Int {
    let credit = withUnsafePointer(to: heap.pointee.pacer.credit) { $0 }
    var have = credit.pointee.load(ordering: .relaxed)
    while have > 0 {
      let take = min(have, wanted)
      let result = credit.pointee.compareExchange(expected: have, desired: have - take, ordering: .relaxed)
      if result.exchanged { return take }
      have = result.original
    }
    return 0
  }

  /// Marks about `bytes` in a section of its own; how much it was. What is not scanned stays in the P's cache, for who goes
  /// on; who `leavesRest` gives it to everybody, if nothing else is there.
  static func mark(_ bytes: Int, leavesRest: Bool, _ hasMore: inout Bool) -> Int {
    let m = acquireM()
    defer { releaseM(m) }
    guard apus_is_marking() != 0, let p = m.pointee.p else {
      hasMore = false
      return 0
    }
    let active = withUnsafePointer(to: heap.pointee.markWork.active) { $0 }
    active.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    var marker = Marker(withUnsafeMutablePointer(to: &p.pointee.heap) { $0 }, on: m)
    hasMore = marker.drain(bytes: bytes)
    let done = marker.markedBytes
    if hasMore && (!leavesRest || MarkWork.hasWork) { marker.end() } else { marker.endSharing() }
    p.pointee.heap.publishMarked()
    active.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    return done
  }
}

extension MarkWork {
  /// Nobody marks, and there is nothing that everybody finds: the cycle may be over.
  static var isDone: Bool {
    apus_is_marking() != 0 && !hasWork && heap.pointee.markWork.active.load(ordering: .sequentiallyConsistent) == 0
  }
}
