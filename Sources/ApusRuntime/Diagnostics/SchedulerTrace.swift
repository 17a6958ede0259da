import CApus
import Synchronization

/// `GODEBUG=schedtrace=MS`: a line about the scheduler every so many milliseconds, to standard error, in the form of Go's
/// `schedtrace`; with `scheddetail=1` also a line for each P, M and G. sysmon writes it.
struct SchedulerTrace {
  private let interval: Int64
  private let isDetailed: Bool
  private let started: Int64
  /// When the next line is due, in nanoseconds; `Int64.max` for never.
  private(set) var next: Int64

  init() {
    interval = Int64(sched.pointee.knobs.schedtrace) * 1_000_000
    isDetailed = sched.pointee.knobs.scheddetail > 0
    started = sched.pointee.facts.startNanoseconds
    next = interval > 0 ? Clock.nanotime() : Int64.max
  }

  var isOn: Bool { interval > 0 }

  /// Writes the line if it is time.
  mutating func writeIfDue(_ now: Int64, on m: MRef) {
    if now < next { return }
    next = now &+ interval
    var writer = ReportWriter()
    writer.gathersLines = true
    sched.pointee.lock.lock(m)
    writeSummary(&writer, now)
    if isDetailed {
      writeProcessors(&writer)
      writeThreads(&writer)
    }
    sched.pointee.lock.unlock(m)
    if isDetailed { writeGoroutines(&writer, on: m) }
    writer.flush()
  }

  private func writeSummary(_ writer: inout ReportWriter, _ now: Int64) {
    writer.write("SCHED ")
    writer.write(UInt64(max(now &- started, 0) / 1_000_000))
    writer.write("ms:")
    let procs = Int(sched.pointee.maxProcs.load(ordering: .relaxed))
    write(&writer, " gomaxprocs=", procs)
    write(&writer, " idleprocs=", Int(sched.pointee.idlePCount.load(ordering: .relaxed)))
    write(&writer, " threads=", Int(sched.pointee.threadCount))
    write(&writer, " spinningthreads=", Int(sched.pointee.spinning.load(ordering: .relaxed)))
    write(&writer, " needspinning=", sched.pointee.needSpinning.load(ordering: .relaxed) ? 1 : 0)
    write(&writer, " idlethreads=", Int(sched.pointee.head.idleMCount.load(ordering: .relaxed)))
    write(&writer, " runqueue=", sched.pointee.global.count)
    if isDetailed {
      writer.write(StopTheWorld.isStopping ? " gcwaiting=true" : " gcwaiting=false")
      write(&writer, " nmidlelocked=", Int(sched.pointee.deadlock.lockedIdle))
      write(&writer, " stopwait=", Int(sched.pointee.head.stopWait.load(ordering: .relaxed)))
      writer.write(
        sched.pointee.sysmon.isWaiting.load(ordering: .relaxed) ? " sysmonwait=true" : " sysmonwait=false")
      writer.write("\n")
      return
    }
    writer.write(" [ ")
    for index in 0..<procs {
      let p = sched.pointee.allP[index].unsafelyUnwrapped
      writer.write(UInt64(max(p.pointee.queue.ringCount, 0)))
      writer.write(" ")
    }
    writer.write("] schedticks=[ ")
    for index in 0..<procs {
      writer.write(UInt64(sched.pointee.allP[index].unsafelyUnwrapped.pointee.schedTick))
      writer.write(" ")
    }
    writer.write("]\n")
  }

  private func writeProcessors(_ writer: inout ReportWriter) {
    for index in 0..<Int(sched.pointee.maxProcs.load(ordering: .relaxed)) {
      let p = sched.pointee.allP[index].unsafelyUnwrapped
      write(&writer, "  P", index)
      write(&writer, ": status=", Int(p.pointee.status.rawValue))
      write(&writer, " schedtick=", Int(p.pointee.schedTick))
      write(&writer, " syscalltick=", Int(p.pointee.syscallTick.load(ordering: .relaxed)))
      writer.write(" m=")
      writeNumber(&writer, p.pointee.m.map { Int($0.pointee.id) })
      write(&writer, " runqsize=", p.pointee.queue.ringCount)
      write(&writer, " gfreecnt=", p.pointee.freeG.count)
      write(&writer, " timerslen=", p.pointee.timers.count)
      writer.write("\n")
    }
  }

  /// The runtime's threads that run goroutines, newest first.
  private func writeThreads(_ writer: inout ReportWriter) {
    var threads = ThreadRecords()
    while let m = threads.next() {
      if m.pointee.id < 0 { continue }
      write(&writer, "  M", Int(m.pointee.id))
      writer.write(": p=")
      writeNumber(&writer, m.pointee.p.map { Int($0.pointee.id) })
      writer.write(" curg=")
      let g = m.currentG
      writeNumber(&writer, g == m.g0 ? nil : Int(g.pointee.head.id))
      write(&writer, " locks=", Int(apus_m_peek_locks(m.cM)))
      writer.write(m.pointee.spinning ? " spinning=true" : " spinning=false")
      let stopped = m.pointee.words.stopped.load(ordering: .relaxed) != UInt32(APUS_NOT_STOPPED)
      writer.write(stopped ? " blocked=true" : " blocked=false")
      writer.write(" lockedg=")
      writeNumber(&writer, m.pointee.lockedG.map { Int($0.pointee.head.id) })
      writer.write("\n")
    }
  }

  private func writeGoroutines(_ writer: inout ReportWriter, on m: MRef) {
    GoroutineRegistry.eachRecord(of: GoroutineRegistry.lockedSlabs(m)) { g in
      let status = g.pointee.status
      if status == .dead { return }
      let owner = StoppedThreads.threadRunning(g)
      let isInSyscall = status == .running && owner.map { apus_m_peek_told($0.cM) != 0 } ?? false
      write(&writer, "  G", Int(g.pointee.head.id))
      // Go's numbers of the states.
      write(&writer, ": status=", status == .waiting ? 4 : isInSyscall ? 3 : Int(status.rawValue))
      writer.write("(")
      writer.write(g.pointee.waitReason.text)
      writer.write(") m=")
      writeNumber(&writer, owner.map { Int($0.pointee.id) })
      writer.write(" lockedm=")
      writeNumber(&writer, g.pointee.lockedM.map { Int($0.pointee.id) })
      writer.write("\n")
    }
  }

  private func write(_ writer: inout ReportWriter, _ name: StaticString, _ value: Int) {
    writer.write(name)
    writeNumber(&writer, value)
  }

  private func writeNumber(_ writer: inout ReportWriter, _ value: Int?) {
    guard let value else {
      writer.write("nil")
      return
    }
    if value < 0 { writer.write("-") }
    writer.write(UInt64(value.magnitude))
  }
}
