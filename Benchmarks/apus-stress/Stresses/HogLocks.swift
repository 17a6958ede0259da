import Apus
import Glibc
import Synchronization

/// What the hogs share.
final class HogCommon: @unchecked Sendable {
  // Unchecked: the C library's locks are pointers, and what they protect is written under them only.
  let lives = Lives()
  private(set) var nodes: [Counted] = []
  let stream: UnsafeMutablePointer<FILE>
  let swiftMutex = Synchronization.Mutex([Int](repeating: 0, count: 32))
  let goroutineMutex = Apus.Mutex([Int](repeating: 0, count: 32))
  fileprivate let plain = CLock(PTHREAD_MUTEX_ERRORCHECK)
  fileprivate let recursive = CLock(PTHREAD_MUTEX_RECURSIVE)
  fileprivate let readWrite = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)
  fileprivate var readWriteValues = [Int](repeating: 0, count: 32)

  init() {
    guard let stream = fopen("/dev/null", "w") else { fatalError("/dev/null: error \(errno)") }
    self.stream = stream
    pthread_rwlock_init(readWrite, nil)
    var last: Counted?
    for _ in 0..<64 {
      let node = Counted(lives, next: last)
      nodes.append(node)
      last = node
    }
  }

  /// Of all objects only the shared ones live.
  var isAtRest: Bool { lives.count.load(ordering: .relaxed) == nodes.count }

  func close() {
    fclose(stream)
    pthread_rwlock_destroy(readWrite)
    readWrite.deallocate()
  }
}

/// How many objects live.
final class Lives: Sendable {
  let count = Atomic<Int>(0)
}

/// An object that counts itself.
final class Counted: Sendable {
  private let lives: Lives
  private let next: Counted?
  private let length: Int

  init(_ lives: Lives, next: Counted?) {
    self.lives = lives
    self.next = next
    length = (next?.length ?? 0) + 1
    lives.count.wrappingAdd(1, ordering: .relaxed)
  }

  deinit { lives.count.wrappingSubtract(1, ordering: .relaxed) }

  /// Walks over the first few below it.
  var sum: Int {
    var (sum, node, steps) = (0, Optional(self), 0)
    while let current = node, steps < 4 {
      sum += current.length
      node = current.next
      steps += 1
    }
    return sum
  }
}

/// A mutex of the C library that knows its owner, and numbers that are equal whenever nobody holds it.
private final class CLock: @unchecked Sendable {
  // Unchecked: `values` is written under the mutex.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var values = [Int](repeating: 0, count: 32)

  init(_ kind: Int) {
    var attributes = pthread_mutexattr_t()
    pthread_mutexattr_init(&attributes)
    pthread_mutexattr_settype(&attributes, CInt(kind))
    pthread_mutex_init(mutex, &attributes)
    pthread_mutexattr_destroy(&attributes)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Raises all numbers under the lock, taken `depth` times; whether all was right.
  func raise(depth: Int) -> Bool {
    for _ in 0..<depth where pthread_mutex_lock(mutex) != 0 { return false }
    let isRight = HogLocks.raise(&values)
    for _ in 0..<depth where pthread_mutex_unlock(mutex) != 0 { return false }
    return isRight
  }
}

private enum HogLocks {
  /// Raises equal numbers one by one, with time between; whether they were equal.
  static func raise(_ values: inout [Int]) -> Bool {
    var isRight = true
    for index in values.indices {
      if values[index] != values[values.count - 1] { isRight = false }
      values[index] += 1
      if values[index] != values[0] { isRight = false }
    }
    return isRight
  }
}

func swiftMutex(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  for _ in 0..<random.pick(1...2000) {
    run.check(common.swiftMutex.withLock { HogLocks.raise(&$0) }, "two were in one of Swift's mutexes at once")
  }
}

func goroutineMutex(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  for _ in 0..<random.pick(1...2000) {
    run.check(common.goroutineMutex.withLock { HogLocks.raise(&$0) }, "two were in one mutex at once")
  }
}

func pthreadMutex(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  for _ in 0..<random.pick(1...2000) {
    run.check(common.plain.raise(depth: 1), "a mutex of the C library failed, or two were in it at once")
  }
}

func recursiveMutex(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  for _ in 0..<random.pick(1...2000) {
    let isRight = common.recursive.raise(depth: random.pick(1...3))
    run.check(isRight, "a recursive mutex failed, or two were in it at once")
  }
}

func readWriteLock(_ run: StressRun, _ common: HogCommon, _ random: inout Random) {
  for _ in 0..<random.pick(1...1000) {
    var isRight: Bool
    if random.oneIn(4) {
      isRight = pthread_rwlock_wrlock(common.readWrite) == 0 && HogLocks.raise(&common.readWriteValues)
    } else {
      isRight = pthread_rwlock_rdlock(common.readWrite) == 0
      for value in common.readWriteValues where value != common.readWriteValues[0] { isRight = false }
    }
    if pthread_rwlock_unlock(common.readWrite) != 0 { isRight = false }
    run.check(isRight, "a read-write lock failed, or a reader saw a writer's half")
  }
}
