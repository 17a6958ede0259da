@testable import ApusRuntime
import CApus
import Synchronization
import Testing

/// The dynamic enforcement of exclusivity, by the functions that compiled code calls.
@Suite struct ExclusivityTests {
  private typealias Node = (UInt, UInt, UInt, UInt)

  /// An access to `target` that is open while `body` runs.
  private static func withAccess(to target: UnsafeMutableRawPointer, _ body: (UInt) -> Void) {
    var node: Node = (0, 0, 0, 0)
    withUnsafeMutablePointer(to: &node) { node in
      apus_begin_access(target, node)
      body(UInt(bitPattern: node))
      apus_end_access(node)
    }
  }

  @Test func theHeadOfTheListIsFound() throws {
    let head = try #require(Exclusivity.findListHead())
    let before = head.pointee
    let target = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)
    defer { target.deallocate() }
    Self.withAccess(to: target) { outer in
      #expect(head.pointee == outer)
      Self.withAccess(to: target + 8) { inner in #expect(head.pointee == inner) }
      #expect(head.pointee == outer)
    }
    #expect(head.pointee == before)
    #expect(Exclusivity.findListHead() == head)
  }

  @Test func everyThreadHasItsOwn() {
    let heads = FoundHeads()
    onThreads(3) { number in
      heads.words[number] = UInt(bitPattern: Exclusivity.findListHead())
      // All three live at once, or one would have the memory of one that has ended.
      heads.found.wrappingAdd(1, ordering: .relaxed)
      while heads.found.load(ordering: .relaxed) < 3 { apus_sched_yield() }
    }
    #expect(heads.words.allSatisfy { $0 != 0 })
    #expect(Set(heads.words).count == 3)
  }

  private final class FoundHeads: @unchecked Sendable {
    // Unchecked: each thread writes its own word.
    let words = UnsafeMutableBufferPointer<UInt>.allocate(capacity: 3)
    let found = Atomic<Int>(0)
  }

  /// How the list is swapped: by its word, or by libswiftCore's functions where the word was not found.
  private enum Mode: Int, Codable, CaseIterable {
    case word
    case functions

    func use() {
      switch self {
      case .word: precondition(currentM().pointee.accessListHead != nil, "the word was not found")
      case .functions: currentM().pointee.accessListHead = nil
      }
    }
  }

  private final class Rounds: @unchecked Sendable {
    // Unchecked: one processor.
    let target = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)
    var modified = 0
    var waiting = 2
  }

  /// Two goroutines modify one variable in turn, each inside an access that is open across the switch. To a thread that
  /// would be a conflict; to goroutines it is none as long as each has a list of its own.
  @Test(arguments: Mode.allCases)
  private func accessesTravelWithTheirGoroutine(mode: Mode) async {
    await #expect(processExitsWith: .success) { [mode] in
      MaxProcs.set(1)
      let ended = SemaphoreBox()
      onGoroutine {
        mode.use()
        let rounds = Rounds()
        for _ in 0..<2 {
          startGoroutine {
            mode.use()
            for _ in 0..<100 {
              Self.withAccess(to: rounds.target) { _ in
                rounds.modified += 1
                Park.yield()
                Self.withAccess(to: rounds.target + 8) { _ in Park.yield() }
              }
              Park.yield()
            }
            rounds.waiting -= 1
            ended.release()
          }
        }
        // Keeps the processor on this thread.
        while rounds.waiting > 0 { Park.yield() }
        precondition(rounds.modified == 200)
      }
      for _ in 0..<2 { ended.acquire(.semaphore) }
    }
  }

  /// A conflict within one goroutine is found although others ran between the two accesses.
  @Test(arguments: Mode.allCases)
  private func conflictsOfOneGoroutineAreFound(mode: Mode) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [mode] in
      MaxProcs.set(1)
      onGoroutine {
        mode.use()
        let rounds = Rounds()
        startGoroutine { for _ in 0..<10 { Park.yield() } }
        Self.withAccess(to: rounds.target) { _ in
          Park.yield()
          Self.withAccess(to: rounds.target) { _ in }
        }
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("verlapping accesses") || words.contains("imultaneous accesses"), "\(words)")
  }
}
