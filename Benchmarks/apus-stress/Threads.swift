import Glibc

import struct Synchronization.Atomic

/// Starts a detached thread that the runtime knows nothing of.
func startThread(_ body: @escaping @Sendable () -> Void) {
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
  var thread = pthread_t()
  let start = Unmanaged.passRetained(ThreadStart(body))
  let failure = pthread_create(
    &thread, &attributes,
    { argument in
      Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, start.toOpaque())
  pthread_attr_destroy(&attributes)
  guard failure == 0 else { fatalError("pthread_create: error \(failure)") }
}

/// The closure of a thread, on its way through `pthread_create`.
private final class ThreadStart: Sendable {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// What the stresses know of one thread. It is found through `pthread_getspecific` and not through `pthread_self`,
/// which the compiler may call once and keep over a switch, as a function whose result never changes.
final class ThreadRecord: Sendable {
  /// Never given to a second thread, unlike the kernel's thread ids.
  let number: Int
  /// The goroutine that is locked to the thread, by a number of the stress's own, or 0.
  let owner = Atomic<Int>(0)

  private init(number: Int) { self.number = number }

  /// The calling thread's.
  static var current: ThreadRecord {
    if let record = pthread_getspecific(key) { return Unmanaged.fromOpaque(record).takeUnretainedValue() }
    let record = ThreadRecord(number: count.wrappingAdd(1, ordering: .relaxed).newValue)
    pthread_setspecific(key, Unmanaged.passRetained(record).toOpaque())
    return record
  }

  private static let count = Atomic<Int>(0)
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    // A thread gives its record up when it ends; whoever has kept it goes on holding it.
    let failure = pthread_key_create(&key) { record in Unmanaged<ThreadRecord>.fromOpaque(record!).release() }
    guard failure == 0 else { fatalError("pthread_key_create: error \(failure)") }
    return key
  }()
}

/// Counts how often one goroutine is found on another thread than the last time.
struct MigrationCounter {
  private var last: Int
  private(set) var migrations = 0

  init() { last = ThreadRecord.current.number }

  /// Looks which thread the goroutine runs on.
  mutating func observe() {
    let number = ThreadRecord.current.number
    if number != last {
      migrations += 1
      last = number
    }
  }
}
