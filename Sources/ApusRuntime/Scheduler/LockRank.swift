/// The order in which the scheduler's locks may be taken: a thread takes a lock only when its rank is higher than that of
/// every lock it holds. Debug builds assert it (`RuntimeLock.lock`). This is the only list of ranks.
///
/// What each lock protects stands beside the lock's declaration. Under any of them: no malloc, no ARC, no lock that user
/// code can hold, no `swift_once`. A goroutine that holds one cannot be stopped (`M.head.locks` is above zero), but one
/// that was stopped may hold any of those, and would never be resumed if a scheduler waited for it.
public enum LockRank: UInt8 {
  /// A channel's state and waiters. A `select` holds several, in ascending order of address.
  case channel = 10
  /// The waiters of a semaphore root.
  case semaphore = 20
  /// A descriptor's waiters and deadlines. Below the timers: deadlines are armed under it.
  case pollDescriptor = 25
  /// The poller's first use, and its free records.
  case pollPool = 27
  /// A P's timers, and the records that are at home there. Above the channels: a goroutine that blocks on a timer's
  /// channel arms it under the channel's lock.
  case timers = 30
  /// The scheduler: idle Ms and Ps, the global queue, Ps' owners.
  case sched = 40
  /// The registry of all Gs and the free list that the Ps share.
  case goroutines = 50
  /// The stack pools and their reservations.
  case stacks = 60
  /// The figures of all collections.
  case collector = 68
  /// A shard of the goroutines that hold references to managed objects.
  case heapScopes = 70
  /// The roots of the managed heap; under it an object is shaded.
  case roots = 72
  /// The blocks with objects to be destroyed; under it such a block is swept.
  case cleanup = 74
  /// The weak references; under it an object is shaded.
  case weak = 76
  /// The blocks of one layout.
  case central = 78
  /// The table of types with their layouts.
  case heapTypes = 80
  /// The free blocks of the arena.
  case pageHeap = 82
  /// The grey objects that no P has.
  case markWork = 84
  /// Who brings back many stacks.
  case shelf = 90
}
