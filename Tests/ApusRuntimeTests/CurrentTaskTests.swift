import CApus
import Synchronization
import Testing

/// The thread-local word of Swift Concurrency that says whether a thread is inside a task.
@Suite struct CurrentTaskTests {
  @Test func theWordIsFoundAndFollowsTheTask() {
    let seen = Seen()
    onThreads(1) { _ in
      let word = apus_find_task_words().current
      seen.found.store(UInt(bitPattern: word), ordering: .relaxed)
      guard let word else { return }
      seen.outside.store(word.pointee, ordering: .relaxed)
      let address = UInt(bitPattern: word)
      Task.immediate {
        seen.inside.store(UnsafePointer<UInt>(bitPattern: address)!.pointee, ordering: .relaxed)
        seen.current.store(UInt(bitPattern: apus_current_task()), ordering: .relaxed)
        seen.foundInside.store(UInt(bitPattern: apus_find_task_words().current), ordering: .relaxed)
      }
      seen.afterwards.store(word.pointee, ordering: .relaxed)
      seen.again.store(UInt(bitPattern: apus_find_task_words().current), ordering: .relaxed)
    }
    let found = seen.found.load(ordering: .relaxed)
    #expect(found != 0)
    #expect(seen.again.load(ordering: .relaxed) == found)
    #expect(seen.outside.load(ordering: .relaxed) == 0)
    #expect(seen.afterwards.load(ordering: .relaxed) == 0)
    #expect(seen.inside.load(ordering: .relaxed) != 0)
    #expect(seen.inside.load(ordering: .relaxed) == seen.current.load(ordering: .relaxed))
    // Inside a task no word can take the mark.
    #expect(seen.foundInside.load(ordering: .relaxed) == 0)
  }

  private final class Seen: Sendable {
    let found = Atomic<UInt>(0)
    let again = Atomic<UInt>(0)
    let outside = Atomic<UInt>(1)
    let inside = Atomic<UInt>(0)
    let current = Atomic<UInt>(0)
    let foundInside = Atomic<UInt>(1)
    let afterwards = Atomic<UInt>(1)
  }
}
