@testable import ApusRuntime
import CApus
import Synchronization
import Testing

/// Whether the runtime was built with its checks.
let checksAreOn: Bool = {
  #if DEBUG
    true
  #else
    false
  #endif
}()

/// A lock at a fixed address, never freed.
private func makeLock(_ rank: LockRank) -> UnsafeMutablePointer<RuntimeLock> {
  let lock = UnsafeMutablePointer<RuntimeLock>.allocate(capacity: 1)
  lock.initialize(to: RuntimeLock(rank))
  return lock
}

@Suite struct LockRankTests {
  private static func take(_ ranks: LockRank...) {
    let m = currentM()
    for rank in ranks { makeLock(rank).pointee.lock(m) }
  }

  private func said(_ result: ExitTest.Result?, _ words: String) -> Bool {
    String(decoding: result?.standardErrorContent ?? [], as: UTF8.self).contains(words)
  }

  @Test(.enabled(if: checksAreOn, "a release build does not check the order of locks"))
  func lockingAgainstTheOrderTraps() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      Self.take(.sched, .semaphore)
    }
    #expect(said(result, "against the order of LockRank"))
  }

  @Test(.enabled(if: checksAreOn, "a release build does not check the order of locks"))
  func lockingTwoOfOneRankTraps() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      Self.take(.channel, .channel)
    }
    #expect(said(result, "against the order of LockRank"))
  }

  @Test(.enabled(if: checksAreOn, "a release build does not check who holds a lock"))
  func unlockingWhatIsNotHeldTraps() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      makeLock(.sched).pointee.unlock(currentM())
    }
    #expect(said(result, "holds none"))
  }

  @Test func locksInOrderAreTakenAndGivenBackInAnyOrder() {
    let m = currentM()
    let before = m.pointee.head.locks
    let ranks: [LockRank] = [.channel, .semaphore, .sched, .goroutines, .stacks]
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
      let locks = ranks.map(makeLock)
      for lock in locks { lock.pointee.lock(m) }
      #expect(m.pointee.head.locks == before + 5)
      for index in order { locks[index].pointee.unlock(m) }
      #expect(m.pointee.head.locks == before)
      #expect(locks.allSatisfy { !$0.pointee.isHeld })
    }
  }
}

@Suite struct RuntimeLockTests {
  private final class Guarded: @unchecked Sendable {
    // Unchecked: the lock is what is tested.
    let lock = makeLock(.channel)
    var count = 0
  }

  @Test func oneAtATime() {
    let guarded = Guarded()
    onThreads(4) { _ in
      let m = currentM()
      for round in 0..<20_000 {
        guarded.lock.pointee.lock(m)
        let before = guarded.count
        // Now and then the others meet the lock taken.
        if round & 63 == 0 { apus_sched_yield() }
        guarded.count = before + 1
        guarded.lock.pointee.unlock(m)
      }
    }
    #expect(guarded.count == 80_000)
    let isHeld = guarded.lock.pointee.isHeld
    #expect(!isHeld)
  }

  /// The holder waits until somebody sleeps on the lock, which the word tells; then all get it in turn.
  @Test func sleepersAreWoken() {
    let guarded = Guarded()
    for _ in 0..<20 {
      onThreads(4) { number in
        let m = currentM()
        guarded.lock.pointee.lock(m)
        if number == 0 {
          let word = guarded.lock.pointee.address
          while guarded.count % 4 == 0 && word.pointee != 2 { apus_sched_yield() }
        }
        guarded.count += 1
        guarded.lock.pointee.unlock(m)
      }
    }
    #expect(guarded.count == 80)
  }
}

@Suite struct NoteTests {
  private final class Event: @unchecked Sendable {
    // Unchecked: the note orders the accesses to the value.
    let note = Note()
    let answer = Note()
    var value = 0
  }

  @Test func aWakeUpBeforeTheSleepIsNotLost() {
    let event = Event()
    event.note.wake()
    event.note.sleep()
    let woken = event.note.sleep(nanoseconds: 0)
    #expect(woken)
  }

  @Test func clearForgetsAWakeUp() {
    let event = Event()
    event.note.wake()
    event.note.clear()
    let woken = event.note.sleep(nanoseconds: 1000)
    #expect(!woken)
  }

  @Test func aSleepWithALimitTakesItsTime() {
    let event = Event()
    let start = Clock.nanotime()
    let woken = event.note.sleep(nanoseconds: 2_000_000)
    #expect(!woken)
    #expect(Clock.nanotime() - start >= 2_000_000)
  }

  @Test func theSleeperSeesWhatTheWakerWrote() {
    let event = Event()
    let wrong = Event()
    onThreads(2) { number in
      for round in 1...2000 {
        if number == 0 {
          event.value = round
          event.note.wake()
          event.answer.sleep()
          event.answer.clear()
        } else {
          event.note.sleep()
          event.note.clear()
          if event.value != round { wrong.value += 1 }
          event.answer.wake()
        }
      }
    }
    #expect(wrong.value == 0 && event.value == 2000)
  }

  @Test(.enabled(if: checksAreOn, "a release build does not assert it"))
  func wakingTwiceTraps() async {
    await #expect(processExitsWith: .failure) {
      let event = Event()
      event.note.wake()
      event.note.wake()
    }
  }
}
