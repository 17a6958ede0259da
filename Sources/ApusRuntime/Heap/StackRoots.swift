import CApus
import Synchronization

/// The stacks of goroutines that may hold references, scanned conservatively while the world stands still: any word that is
/// an address in an object keeps the object, and in the registers of a thread that was stopped the number of a link, too.
///
/// There are two kinds. Stacks that a thread is on (`scanThreads`) were stopped anywhere, also in the middle of a program's
/// own code: their registers count, too, and they are scanned in each pause, the first one among them (`Barrier` says why).
/// The others (`scanParked`) stand where `apus_switch` left them. A goroutine that was scanned so and has not run since
/// need not be looked at again: the scan leaves the cycle's number in the goroutine's state word, and whatever makes it
/// run overwrites the word. `StackNotes` does the same for goroutines that stop running while a cycle ends.
enum StackRoots {
  /// What may be in use below the stack pointer that a stopped thread has noted: the area that a leaf function uses
  /// without moving the pointer, and the registers that a function of ours has pushed below its frame address.
  private static var margin: UInt { 256 }

  /// Scans the stacks of the threads that are in a goroutine with references; the bytes that were looked at.
  static func scanThreads(with marker: inout Marker, stopper: MRef) -> Int {
    var bytes = 0
    heap.pointee.collector.scannedThreads.removeAll()
    var threads = ThreadRecords()
    while let m = threads.next() {
      let g = m.currentG
      if !g.pointee.isInHeapScope { continue }
      heap.pointee.collector.scannedThreads.insert(m)
      bytes += m == stopper ? scan(from: g.pointee.head.sp, of: g, with: &marker) : scanStopped(m, g, with: &marker)
    }
    return bytes
  }

  /// A stopped thread's:
  ///
  /// - By the signal: from its stack pointer on, and the record of its registers, the vector registers among them.
  /// - On the way out of the runtime, or while it waits for a P there: the registers lie around the frame that it noted.
  private static func scanStopped(_ m: MRef, _ g: GRef, with marker: inout Marker) -> Int {
    assert(
      m.pointee.words.stopped.load(ordering: .acquiring) != UInt32(APUS_NOT_STOPPED),
      "a thread with references runs while the world stands still")
    var (start, end): (UInt, UInt) = (0, 0)
    apus_context_extent(m.pointee.head.stopped_context, &start, &end)
    marker.markConservatively(from: start, to: end)
    apus_context_registers(m.pointee.head.stopped_context, &start, &end)
    marker.markNumbers(from: start, to: end)
    let sp = m.pointee.head.stopped_sp & ~7
    if sp > g.pointee.head.stack_lo && sp <= g.pointee.head.stack_hi {
      let start = max(sp - margin, g.pointee.head.stack_lo)
      markNumbersOfHandlers(from: start, to: g.pointee.head.stack_hi, of: m, with: &marker)
      return scan(from: start, of: g, with: &marker)
    }
    // In a handler of the program's, on the signal stack: the registers of what it has interrupted are there, too, and how
    // much of the goroutine's stack was in use is not known.
    let signalStack = m.pointee.head.signal_stack
    let top = signalStack + m.pointee.head.signal_stack_size
    if sp >= signalStack && sp < top {
      let start = max(sp - margin, signalStack)
      marker.markConservatively(from: start, to: top)
      marker.markNumbers(from: start, to: top)
    }
    markNumbersOfHandlers(from: g.pointee.head.stack_lo, to: g.pointee.head.stack_hi, of: m, with: &marker)
    return scan(from: g.pointee.head.stack_lo, of: g, with: &marker)
  }

  /// A handler of the program's that was installed without SA_ONSTACK: it runs on the goroutine's own stack, and the
  /// registers of what it has interrupted lie above the word that says where it returns to. On aarch64 that may be in a
  /// register only.
  private static func markNumbersOfHandlers(
    from start: UInt, to end: UInt, of m: MRef, with marker: inout Marker
  ) {
    let frame = apus_signal_return()
    if frame == 0 { return }
    var (registers, registersEnd): (UInt, UInt) = (0, 0)
    apus_context_registers(m.pointee.head.stopped_context, &registers, &registersEnd)
    if find(frame, from: registers, to: registersEnd) != nil {
      marker.markNumbers(from: start, to: end)
    } else if let place = find(frame, from: start, to: end) {
      marker.markNumbers(from: place, to: end)
    }
  }

  /// Where `word` lies first in [start, end), which are aligned.
  private static func find(_ word: UInt, from start: UInt, to end: UInt) -> UInt? {
    var place = start
    while place < end {
      if UnsafePointer<UInt>(bitPattern: place).unsafelyUnwrapped.pointee == word { return place }
      place &+= 8
    }
    return nil
  }

  private static func scan(from sp: UInt, of g: GRef, with marker: inout Marker) -> Int {
    marker.markConservatively(from: sp, to: g.pointee.head.stack_hi)
    return Int(g.pointee.head.stack_hi - sp)
  }

  /// Scans the stacks of goroutines that are on no thread, are in a scope, and may have changed since they were scanned last,
  /// until all are done or the clock shows `deadline`; false when it did. Adds the bytes that were looked at to `bytes`. Behind
  /// `scanThreads`, in the same pause.
  static func scanParked(with marker: inout Marker, until deadline: Int64, bytes: inout Int) -> Bool {
    var sinceClock = 0
    let stamp = G.scanStamp(cycle: heap.pointee.collector.cycle.load(ordering: .relaxed))
    return HeapScopes.each(fetching: { g in
      if g.pointee.statusWord.load(ordering: .relaxed) & G.scanMask != stamp { fetch(g.pointee.head.sp) }
    }) { g in
      let before = g.pointee.statusWord.load(ordering: .relaxed)
      if before & G.scanMask == stamp {
        bytes += Int(g.pointee.head.stack_hi - g.pointee.head.sp)
        return true
      }
      let status = g.pointee.status
      if status != .waiting && heap.pointee.collector.scannedThreads.contains(g) { return true }
      if sinceClock > 16 << 10 {
        sinceClock = 0
        if Clock.nanotime() > deadline { return false }
      }
      // Running, and no thread has it: its thread has ended under it, and it never goes on. What was in use of its stack
      // is not known.
      let sp = status == .running ? g.pointee.head.stack_lo : g.pointee.head.sp
      // A thread without a P may make it runnable at this moment. It will not run before the world does, and if the stamp
      // is lost it is scanned once more.
      _ = g.pointee.statusWord.compareExchange(
        expected: before, desired: before & ~G.scanMask | stamp, ordering: .acquiringAndReleasing)
      if let copy = Shelf.copy(of: g) {
        marker.markConservatively(from: copy.lowerBound, to: copy.upperBound)
      } else {
        marker.markConservatively(from: sp, to: g.pointee.head.stack_hi)
      }
      let size = Int(g.pointee.head.stack_hi - sp)
      bytes += size
      sinceClock += size + 512
      return true
    }
  }

  /// Has the processor fetch what lies on a stack of usual size.
  private static func fetch(_ sp: UInt) {
    apus_prefetch(sp)
    apus_prefetch(sp &+ 128)
    apus_prefetch(sp &+ 256)
    apus_prefetch(sp &+ 384)
  }
}
