@testable import Apus
@testable import ApusRuntime
import Testing

/// The life of a descriptor, and who reads and writes it.
@Suite struct FDMutexTests {
  /// A mutex with an address, shared by goroutines.
  final class Box: Sendable {
    private let mutex = FDMutex()

    func retain() -> Bool { mutex.retain() }
    func release() -> Bool { mutex.release() }
    func lock(_ mode: PollMode) -> Bool { mutex.lock(mode) }
    func unlock(_ mode: PollMode) -> Bool { mutex.unlock(mode) }
    func close() -> Bool { mutex.close() }
    var isClosed: Bool { mutex.isClosed }
  }

  @Test func referencesAndLocksCount() {
    let box = Box()
    #expect(box.retain())
    #expect(!box.release())
    #expect(box.lock(.read))
    #expect(!box.unlock(.read))
    #expect(box.lock(.write))
    #expect(!box.unlock(.write))
    #expect(box.retain())
    #expect(box.lock(.read))
    #expect(box.lock(.write))
    #expect(!box.unlock(.read))
    #expect(!box.unlock(.write))
    #expect(!box.release())
  }

  @Test func aClosedOneLetsNobodyIn() {
    let box = Box()
    #expect(!box.isClosed)
    #expect(box.close())
    #expect(box.isClosed)
    #expect(!box.retain())
    #expect(!box.lock(.read))
    #expect(!box.lock(.write))
    #expect(!box.close())
    #expect(box.release())
  }

  /// The last to leave is told, whoever that is.
  @Test func theLastUserDisposes() {
    let box = Box()
    #expect(box.lock(.read))
    #expect(box.lock(.write))
    #expect(box.retain())
    #expect(box.close())
    #expect(!box.release())
    #expect(!box.unlock(.read))
    #expect(!box.release())
    #expect(box.unlock(.write))
  }

  @Test(arguments: [true, false])
  func closeWakesWhoeverWaits(reads: Bool) {
    let mode = reads ? PollMode.read : .write
    let (got, disposed) = onGoroutine {
      let box = Box()
      _ = box.lock(.read)
      _ = box.lock(.write)
      let (started, got) = (WaitGroup(), Channel<Bool>(capacity: 4))
      for _ in 0..<4 {
        started.add()
        go {
          started.done()
          got.send(box.lock(mode))
        }
      }
      started.wait()
      yieldOften()
      let waited = got.count == 0
      _ = box.close()
      let results = (0..<4).map { _ in got.receive() }
      _ = box.release()
      _ = box.unlock(.read)
      return (results.allSatisfy { $0 == false } && waited, box.unlock(.write))
    }
    #expect(got)
    #expect(disposed)
  }

  /// A direction is one goroutine's at a time, and nobody waits for ever; closing takes effect once everybody has left.
  @Test func manyUseOne() {
    let rounds = 2000
    let (wrong, disposals, refused) = onGoroutine {
      let box = Box()
      let wrong = Sum()
      let disposals = Sum()
      let refused = Sum()
      let inside = [Sum(), Sum()]
      let group = WaitGroup()
      for worker in 0..<8 {
        group.go {
          for round in 0..<rounds {
            let (mode, index) = (worker + round) % 2 == 0 ? (PollMode.read, 0) : (.write, 1)
            switch (worker &* 31 &+ round) % 3 {
            case 0:
              if !box.retain() {
                refused.add()
                continue
              }
              if box.release() { disposals.add() }
            default:
              if !box.lock(mode) {
                refused.add()
                continue
              }
              inside[index].add()
              if inside[index].value != 1 { wrong.add() }
              if round % 7 == 0 { Goroutine.yield() }
              inside[index].add(-1)
              if box.unlock(mode) { disposals.add() }
            }
          }
        }
      }
      group.wait()
      if refused.value != 0 { wrong.add() }
      let closing = WaitGroup()
      for worker in 0..<8 {
        closing.go {
          for _ in 0..<rounds {
            if !box.lock(.read) { break }
            if worker == 0 && box.close() && box.release() { disposals.add() }
            if box.unlock(.read) { disposals.add() }
          }
        }
      }
      closing.wait()
      return (wrong.value, disposals.value, box.isClosed)
    }
    #expect(wrong == 0)
    #expect(disposals == 1)
    #expect(refused)
  }

  private static func expectInconsistent(_ result: ExitTest.Result?) {
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("panic: inconsistent poll.fdMutex"))
  }

  @Test func aReleaseTooManyIsFatal() async {
    Self.expectInconsistent(
      await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
        onGoroutine { _ = Box().release() }
      })
  }

  @Test(arguments: [true, false])
  func anUnlockTooManyIsFatal(reads: Bool) async {
    Self.expectInconsistent(
      await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) { [reads] in
        onGoroutine { _ = Box().unlock(reads ? .read : .write) }
      })
  }

  @Test func anUnlockOfTheOtherDirectionIsFatal() async {
    Self.expectInconsistent(
      await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
        onGoroutine {
          let box = Box()
          _ = box.lock(.read)
          _ = box.unlock(.write)
        }
      })
  }

  @Test func tooManyUsersAreFatal() async {
    let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
      onGoroutine {
        let box = Box()
        for _ in 0..<(1 << 20) { _ = box.retain() }
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("panic: too many concurrent operations on a single file or socket (max 1048575)"))
  }
}
