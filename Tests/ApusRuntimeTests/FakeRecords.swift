@testable import ApusRuntime
import CApus
import Glibc

/// Records that no scheduler knows, for tests of what holds them. Like the real ones they are never freed.
enum FakeRecords {
  static func goroutines(_ count: Int) -> [GRef] {
    (0..<count).map { number in
      let g = GRef.allocate(capacity: 1)
      g.initialize(to: G(g, kind: .user))
      g.pointee.head.id = UInt64(number)
      return g
    }
  }

  static func machine() -> MRef {
    let m = MRef.allocate(capacity: 1)
    m.initialize(to: M())
    return m
  }

  static func processor() -> PRef {
    let p = PRef.allocate(capacity: 1)
    p.initialize(to: P(id: -1, stackOrder: 18, room: PersistentMemory.map(bytes: TimeHistogram.size)))
    return p
  }
}

extension GRef {
  /// The number that a fake goroutine was made with.
  var number: Int { Int(pointee.head.id) }
}

extension OwnerQueue {
  /// Takes everything: the numbers, in order.
  func takeAll() -> [Int] {
    var numbers: [Int] = []
    while let taken = take() { numbers.append(taken.g.number) }
    return numbers
  }
}

extension ChunkedQueue {
  mutating func removeAll() -> [GRef] {
    var all: [GRef] = []
    while let g = removeFirst() { all.append(g) }
    return all
  }
}

extension GQueue {
  mutating func removeAll() -> [GRef] {
    var all: [GRef] = []
    while let g = removeFirst() { all.append(g) }
    return all
  }
}

/// Runs `body` with a number on `count` threads of the operating system at once, and returns when all have ended. The
/// threads are none of the runtime's.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  final class Work: Sendable {
    let number: Int
    let body: @Sendable (Int) -> Void

    init(_ number: Int, _ body: @escaping @Sendable (Int) -> Void) {
      self.number = number
      self.body = body
    }
  }
  var threads: [pthread_t] = []
  for number in 0..<count {
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(number, body))
    let error = pthread_create(
      &thread, nil,
      { argument in
        let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
        work.body(work.number)
        return nil
      }, work.toOpaque())
    precondition(error == 0, "no thread for a test")
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}

/// Runs `body` on a goroutine with a stack of `1 << stackOrder` bytes (0: the default) and waits for its value.
func onGoroutine<Value: Sendable>(stackOrder: UInt8 = 0, _ body: @escaping @Sendable () -> Value) -> Value {
  let outcome = Outcome<Value>()
  startGoroutine(stackOrder: stackOrder) {
    outcome.value = body()
    outcome.ended.release()
  }
  outcome.ended.acquire(.semaphore)
  return outcome.value!
}

private final class Outcome<Value>: @unchecked Sendable {
  // Unchecked: the semaphore orders the accesses.
  let ended = SemaphoreBox()
  var value: Value?
}

/// Starts a goroutine that runs `body`.
func startGoroutine(stackOrder: UInt8 = 0, _ body: @escaping @Sendable () -> Void) {
  struct Payload {
    let body: @Sendable () -> Void
  }
  let g = Spawn.allocate(stackOrder: stackOrder)
  g.payloadAddress.bindMemory(to: Payload.self, capacity: 1).initialize(to: Payload(body: body))
  Spawn.submit(g, Entry { $0.assumingMemoryBound(to: Payload.self).move().body() })
}

/// A semaphore that goroutines and the test's thread share.
final class SemaphoreBox: Sendable {
  private let root: SemaphoreRoot

  init(_ count: Int = 0) {
    root = SemaphoreRoot(count)
  }

  func acquire(_ reason: WaitReason) { root.acquire(1, reason) }
  func release() { _ = root.release() }
}
