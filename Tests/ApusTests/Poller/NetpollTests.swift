@testable import Apus
@testable import ApusRuntime
import CApus
import Glibc
import Synchronization
import Testing

/// A pipe whose reading end is known to the poller. Its owner closes it.
struct PolledPipe: @unchecked Sendable {
  // Unchecked: the record has a lock of its own.
  let reader: Int32
  let writer: Int32
  let record: PollDescriptorRef

  init() {
    var ends: [Int32] = [-1, -1]
    precondition(apus_pipe(&ends) == 0)
    (reader, writer) = (ends[0], ends[1])
    record = Netpoll.open(reader).0!
  }

  /// Writes one byte.
  func feed() {
    var byte: UInt8 = 1
    precondition(Glibc.write(writer, &byte, 1) == 1)
  }

  /// Takes what there is, without waiting.
  func drain() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while Glibc.read(reader, &bytes, 64) > 0 {}
  }

  /// The reader is no longer the poller's.
  func detach() {
    record.beginClosing()
    Netpoll.close(record)
  }

  func close() {
    detach()
    Glibc.close(reader)
    Glibc.close(writer)
  }
}

/// The poller and its records, below everything that has a name.
@Suite struct NetpollTests {
  private static func milliseconds(_ count: Int64) -> Int64 { Clock.nanotime() + count * 1_000_000 }

  @Test func aWaiterIsWokenByData() {
    let outcome = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      yieldOften()
      pipe.feed()
      return outcomes.receive()
    }
    #expect(outcome == .ready)
  }

  /// What came before somebody waits is there for the first that does, and once only.
  @Test func anEventIsKeptForTheNextWaiter() {
    let outcomes = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.feed()
      let known = eventually { pipe.record.pointee.reader.load(ordering: .relaxed) == PollDescriptor.ready }
      let first = pipe.record.wait(.read)
      pipe.record.setDeadline(.read, at: Self.milliseconds(30))
      return (known, first, pipe.record.wait(.read))
    }
    #expect(outcomes.0)
    #expect(outcomes.1 == .ready)
    #expect(outcomes.2 == .timedOut)
  }

  @Test func whatIsForgottenWakesNobody() {
    let outcome = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      pipe.feed()
      guard eventually({ pipe.record.pointee.reader.load(ordering: .relaxed) == PollDescriptor.ready }) else {
        return PollOutcome.closing
      }
      pipe.record.forget(.read)
      pipe.record.setDeadline(.read, at: Self.milliseconds(30))
      return pipe.record.wait(.read)
    }
    #expect(outcome == .timedOut)
  }

  /// A thread that is not the runtime's waits, and somebody polls for it.
  @Test func aForeignThreadWaits() {
    let pipe = PolledPipe()
    go {
      Goroutine.sleep(for: .milliseconds(20))
      pipe.feed()
    }
    #expect(pipe.record.wait(.read) == .ready)
    pipe.close()
  }

  @Test func aLockedGoroutineWaits() {
    let outcome = onGoroutine {
      let pipe = PolledPipe()
      defer { pipe.close() }
      let outcomes = Channel<PollOutcome>()
      go {
        Goroutine.lockToThread()
        outcomes.send(pipe.record.wait(.read))
        Goroutine.unlockFromThread()
      }
      Goroutine.sleep(for: .milliseconds(20))
      pipe.feed()
      return outcomes.receive()
    }
    #expect(outcome == .ready)
  }

  /// The kernel may have given out an event for a descriptor that was closed meanwhile, and whose record is used again.
  @Test func staleEventsAreIgnored() {
    let (count, outcome) = onGoroutine { () -> (Int, PollOutcome?) in
      let pipe = PolledPipe()
      defer { pipe.close() }
      // Of the descriptor for which the record stood before, or would have.
      let old = pipe.record.pointee.sequence &- 1
      let outcomes = Channel<PollOutcome>()
      go { outcomes.send(pipe.record.wait(.read)) }
      _ = eventually { pipe.record.pointee.reader.load(ordering: .relaxed) > PollDescriptor.ready }
      let m = acquireM()
      var queue = GQueue()
      let count = pipe.record.note(APUS_EPOLLIN, old & Netpoll.sequenceMask, into: &queue, on: m)
      releaseM(m)
      pipe.feed()
      return (count, outcomes.receive())
    }
    #expect(count == 0)
    #expect(outcome == .ready)
  }

  /// A record counts the descriptors that it stands for.
  @Test func aRecordThatIsUsedAgainHasAnotherNumber() {
    let sequences = onGoroutine { () -> [UInt64] in
      let first = PolledPipe()
      let before = first.record.pointee.sequence
      first.close()
      return [before, first.record.pointee.sequence]
    }
    #expect(sequences[1] > sequences[0])
  }

  @Test func closingWakesWhoeverWaits() {
    let outcomes = onGoroutine {
      let pipe = PolledPipe()
      let (reads, writes) = (Channel<PollOutcome>(capacity: 1), Channel<PollOutcome>(capacity: 1))
      go { reads.send(pipe.record.wait(.read)) }
      go { writes.send(pipe.record.wait(.write)) }
      yieldOften()
      pipe.record.beginClosing()
      let outcomes: [PollOutcome?] = [reads.receive(), writes.receive(), pipe.record.wait(.read)]
      Netpoll.close(pipe.record)
      Glibc.close(pipe.reader)
      Glibc.close(pipe.writer)
      return outcomes
    }
    #expect(outcomes == [.closing, .closing, .closing])
  }

  /// As many as there is no room for in a queue, at once.
  @Test func manyAreReadyAtOnce() {
    let count = onGoroutine {
      let pipes = (0..<1000).map { _ in PolledPipe() }
      let done = WaitGroup()
      for pipe in pipes { done.go { if pipe.record.wait(.read) != .ready { fatalError("not ready") } } }
      yieldOften()
      for pipe in pipes { pipe.feed() }
      done.wait()
      for pipe in pipes { pipe.close() }
      return pipes.count
    }
    #expect(count == 1000)
  }

  @Test func whatCannotBePolledIsRefused() {
    let file = open("/proc/self/exe", O_RDONLY)
    let (record, error) = Netpoll.open(file)
    #expect(record == nil)
    #expect(error == -EPERM)
    close(file)
    // None that was just closed: another test may have opened it anew.
    #expect(Netpoll.open(Int32.max).1 == -EBADF)
  }
}
