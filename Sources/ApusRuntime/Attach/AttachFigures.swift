import CApus
import Synchronization

/// What `apus top PID` shows, as lines of fields with tabs between them; the first is the kind of line.
///
///     time NANOSECONDS
///     figure NAME NUMBER
///     latency NANOSECONDS COUNT
///     processor NUMBER STATE QUEUED SWITCHES GOROUTINE
///     goroutines COUNT STATE FUNCTION
///     	FILE:LINE
///
/// A latency is how long a goroutine was ready before it ran: so many samples since the program's start are below the
/// number, and not below that of the line before. Ranges without samples are left out.
///
/// The last two are goroutines of one state that were created at one place; the main goroutine, which nobody has created,
/// has no second line. Nobody is stopped: each number is right for its own moment, and the records of all goroutines are
/// looked at, some nanoseconds each.
struct AttachFigures: ~Copyable {
  /// What is told together.
  private struct Kind: Hashable {
    var state: UnsafePointer<UInt8>
    var creation: UInt
  }

  private struct Count {
    var state: StaticString
    var number: UInt64
  }

  /// Places are looked up once a session.
  private var texts = FrameTexts()

  /// Gives memory back.
  mutating func close() { texts.close() }

  /// Writes them to `destination`, on the thread of `m`, a `ServiceThread`.
  mutating func write(to destination: ReportWriter.Destination, on m: MRef) {
    var writer = ReportWriter(to: destination)
    writer.gathersLines = true
    writer.write("time\t")
    writer.write(Clock.nanotime())
    writer.write("\n")
    Self.writeFigures(&writer)
    Self.writeLatencies(&writer)
    Self.writeProcessors(&writer, on: m)
    writeGoroutines(&writer, on: m)
    writer.close()
  }

  private static func writeFigures(_ writer: inout ReportWriter) {
    let figures = SchedulerFigures.now()
    write(&writer, "threads", UInt64(figures.threads))
    write(&writer, "idle threads", UInt64(figures.idleThreads))
    write(&writer, "spinning threads", UInt64(max(figures.spinningThreads, 0)))
    write(&writer, "preempted threads", UInt64(figures.preemptedThreads))
    write(&writer, "global queue", UInt64(figures.globalQueueLength))
    write(&writer, "steals", figures.steals)
    write(&writer, "handoffs", figures.handoffs)
    write(&writer, "preemptions", figures.preemptions)
    write(&writer, "untold blocks", figures.untoldBlocks)
    write(&writer, "syscall retakes", figures.syscallRetakes)
    write(&writer, "worst stop", UInt64(figures.worstStopTheWorld))
  }

  private static func write(_ writer: inout ReportWriter, _ name: StaticString, _ number: UInt64) {
    writer.write("figure\t")
    writer.write(name)
    writer.write("\t")
    writer.write(number)
    writer.write("\n")
  }

  private static func writeLatencies(_ writer: inout ReportWriter) {
    for (index, count) in SchedulerTimes.latencies().enumerated() where count > 0 {
      writer.write("latency\t")
      writer.write(UInt64(TimeHistogram.end(of: index)))
      writer.write("\t")
      writer.write(count)
      writer.write("\n")
    }
  }

  private static func writeProcessors(_ writer: inout ReportWriter, on m: MRef) {
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
      guard let p = sched.pointee.allP[index] else { break }
      // The lock keeps the holder in place; nothing is sent under it.
      sched.pointee.lock.lock(m)
      let status = p.pointee.status
      let goroutine = p.pointee.m.map { $0.currentG == $0.g0 ? 0 : $0.currentG.pointee.head.id } ?? 0
      sched.pointee.lock.unlock(m)
      writer.write("processor\t")
      writer.write(UInt64(index))
      writer.write(status == .idle ? "\tidle\t" : goroutine == 0 ? "\tscheduling\t" : "\trunning\t")
      writer.write(UInt64(max(p.pointee.queue.count, 0)))
      writer.write("\t")
      writer.write(p.pointee.switches.load(ordering: .relaxed))
      writer.write("\t")
      writer.write(goroutine)
      writer.write("\n")
    }
  }

  private mutating func writeGoroutines(_ writer: inout ReportWriter, on m: MRef) {
    var counts: [Kind: Count] = [:]
    GoroutineRegistry.eachRecord(of: GoroutineRegistry.lockedSlabs(m)) { g in
      if g.pointee.kind != .user || g.pointee.status == .dead { return }
      let state = GoroutineDump.State(g)
      let kind = Kind(state: state.text.utf8Start, creation: state.creator == 0 ? 0 : state.creation)
      counts[kind, default: Count(state: state.text, number: 0)].number += 1
    }
    for (kind, count) in counts {
      writer.write("goroutines\t")
      writer.write(count.number)
      writer.write("\t")
      writer.write(count.state)
      writer.write("\t")
      if kind.creation == 0 {
        writer.write("main\n")
      } else {
        // The address before a return address is inside the call.
        texts.write(creationAt: kind.creation &- 1, by: 0, to: &writer)
      }
    }
  }
}
