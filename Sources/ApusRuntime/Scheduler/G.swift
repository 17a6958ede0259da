import CApus
import Synchronization

/// A goroutine's record. Records are never freed, only reused, so a `GRef` may always be read.
public typealias GRef = UnsafeMutablePointer<G>

/// The states of a goroutine. Who moves it, and how, stands in docs/HACKING.md; in short: the thread that has the
/// goroutine (runs it, or took it off the queue it was on) is the only one that writes its state.
public enum GStatus: UInt8 {
  /// The record is new or on a free list.
  case dead = 0
  /// On a run queue, or in the hands of a thread that is about to put it on one or run it.
  case runnable
  /// Has an M (and, unless it is in a foreign thread, a P); its stack is the M's current one.
  case running
  /// Parked: referenced by whatever will make it ready, and by no queue.
  case waiting
}

/// What a goroutine record stands for.
public enum GKind: UInt8 {
  /// A program's goroutine, counted in `Runtime.goroutineCount`.
  case user = 0
  /// One of the runtime's own.
  case system
  /// An M's own stack, on which the scheduler runs.
  case scheduler
  /// A thread that the runtime did not make: it blocks instead of being switched.
  case foreign
}

/// What `go` stores: a function that takes its payload out of the slot and runs it. In a specialised caller it captures
/// nothing, so that it is a function pointer and a null context, and spawning allocates nothing for it.
public struct Entry {
  @usableFromInline let run: (UnsafeMutableRawPointer) -> Void

  @inlinable
  public init(_ run: @escaping (UnsafeMutableRawPointer) -> Void) {
    self.run = run
  }
}

public struct G: ~Copyable {
  /// The part that assembly and the signal handler know. First, at offset 0.
  public var head = apus_g_head()

  // Written by the M that runs the goroutine or has it off the queues.
  /// The head of the thread's list of open exclusivity accesses while this goroutine does not run: its nodes lie on the
  /// goroutine's stack. Two words where the list is swapped by libswiftCore's functions (`Exclusivity`); else the second is
  /// `taskLocals`, for which there is no room in the cache lines that a switch touches.
  var accesses: (UInt, UInt) = (0, 0)
  let statusWord = Atomic<UInt8>(GStatus.dead.rawValue)
  /// `kind`, and how often the goroutine has stopped running, in what is left of the byte (`Latency`).
  let kindAndTurns: Atomic<UInt8>
  /// `needsCare`. Written by whoever has the goroutine; the shelver adds its bit while the goroutine waits (`Shelver`).
  let careBits = Atomic<UInt8>(0)
  /// `stackOrder` and `isInHeapScope`.
  private var orderAndScope: UInt8 = 0
  /// Why it waits (`waitReason`), and since when (`WaitScan`, `Shelver`).
  let waitWord = Atomic<UInt32>(0)
  /// The next in the run queue or free list that holds it; that list's owner writes it.
  var link: GRef?

  /// Before the goroutine runs: its entry and the entry's payload, written by `go`, taken by `goroutineMain`. While it is
  /// parked: the element that is handed over. A cache line of its own (`LayoutCheck`), aligned by 16 for whatever a
  /// program sends.
  @usableFromInline var slot = Slot()

  /// `lockToThread`: the M. An M's own goroutine has its M here.
  var lockedM: MRef?
  /// The goroutine that spawned it.
  package internal(set) var creator: UInt64 = 0
  /// The return address behind the `go` that spawned it.
  package internal(set) var creation: UInt = 0
  /// Its place in the queue of what it waits for. One is enough for everything but `select`.
  public var waiter: Waiter

  init(_ address: GRef, kind: GKind) {
    self.kindAndTurns = Atomic(kind.rawValue)
    self.waiter = Waiter(address)
  }

  /// The task-local values that this goroutine has bound outside of tasks, while it does not run (`TaskLocals`).
  var taskLocals: UInt {
    @inline(__always) get { accesses.1 }
    @inline(__always) set { accesses.1 = newValue }
  }

  /// The state. Only whoever has the goroutine writes it; others read a value that may be old.
  var status: GStatus {
    GStatus(rawValue: statusWord.load(ordering: .relaxed) & Self.statusMask).unsafelyUnwrapped
  }

  /// The parts of `statusWord`. The state.
  private static var statusMask: UInt8 { 0b11 }
  /// While it waits or is runnable: when it was made ready is, or will be, in `Waiter.readyTime`.
  static var isTimed: UInt8 { 0b100 }
  /// And how long it was ready is to be counted (`Latency`).
  static var isSampled: UInt8 { 0b1000 }
  static var marksMask: UInt8 { isTimed | isSampled }
  /// The number of the collection that has scanned the goroutine's stack since it last ran (`StackRoots`, `StackNotes`).
  static var scanMask: UInt8 { 0xf0 }

  /// Never 0, which stands for a stack that was not scanned. A cycle does not end before each stack was scanned in it, so
  /// a stamp is one cycle old at the most, and 15 of them are more than enough.
  static func scanStamp(cycle: UInt32) -> UInt8 { UInt8(cycle % 15 &+ 1) << 4 }

  /// What the record stands for.
  var kind: GKind {
    @inline(__always) get { unsafeBitCast(kindAndTurns.load(ordering: .relaxed) & Self.kindMask, to: GKind.self) }
    nonmutating set {
      kindAndTurns.store(
        kindAndTurns.load(ordering: .relaxed) & ~Self.kindMask | newValue.rawValue, ordering: .relaxed)
    }
  }

  private static var kindMask: UInt8 { 0b11 }

  /// A goroutine of the program begins its life: the number from which it counts its turns is as good as random.
  @inline(__always)
  func becomeUsers() {
    let turns = UInt8(truncatingIfNeeded: (head.id &* 0x9e37_79b9_7f4a_7c15) >> 56) & ~Self.kindMask
    kindAndTurns.store(turns | GKind.user.rawValue, ordering: .relaxed)
  }

  /// Writes the state, and no mark.
  @inline(__always)
  func setStatus(_ status: GStatus) {
    statusWord.store(status.rawValue, ordering: .relaxed)
  }

  /// Why it waits; written before it parks by the goroutine itself, and by who makes it ready. One store: it also forgets
  /// since when the goroutine waits.
  @inline(__always)
  var waitReason: WaitReason {
    // Not `init(rawValue:)`: in a debug build its optional allocates when it is first used, maybe in a fatal report.
    get {
      let word = waitWord.load(ordering: .relaxed)
      return unsafeBitCast(UInt8(truncatingIfNeeded: word) & ~Self.wasSeenWaiting, to: WaitReason.self)
    }
    nonmutating set { waitWord.store(UInt32(newValue.rawValue), ordering: .relaxed) }
  }

  /// In the byte of `waitWord` that has the reason: the shelver has come by since the goroutine began to wait.
  static var wasSeenWaiting: UInt8 { 0x80 }

  /// The order of the stack it wants (`StackSize`); what it has once it runs.
  @inline(__always)
  var stackOrder: UInt8 {
    get { orderAndScope & ~Self.scopeBit }
    set { orderAndScope = orderAndScope & Self.scopeBit | newValue }
  }

  /// It is in a `withHeap`, and its stack may hold references to managed objects (`HeapScopes`). Changed inside sections
  /// with a P, so it stays as it is while the world stands still.
  var isInHeapScope: Bool {
    get { orderAndScope & Self.scopeBit != 0 }
    set { orderAndScope = orderAndScope & ~Self.scopeBit | (newValue ? Self.scopeBit : 0) }
  }

  private static var scopeBit: UInt8 { 0x80 }

  /// Above zero: a goroutine that only its own M may run, one that has no stack yet, or whose stack may have to be brought
  /// back. The direct switch tests this one byte, and leaves everything that is not zero to the scheduler loop.
  @inline(__always)
  var needsCare: UInt8 {
    get { careBits.load(ordering: .relaxed) }
    nonmutating set { careBits.store(newValue, ordering: .relaxed) }
  }

  /// `needsCare`'s bits.
  static var hasNoStack: UInt8 { 1 }
  static var isLocked: UInt8 { 2 }
  /// The stack is kept elsewhere, or was, or the shelver has come too late to take it (`Shelf`).
  static var isShelved: UInt8 { 4 }
}

/// Room for a small value, so that spawning and handing over allocate nothing.
@usableFromInline
struct Slot {
  @usableFromInline typealias Words = (UInt, UInt, UInt, UInt, UInt, UInt, UInt, UInt)
  @usableFromInline var words: Words = (0, 0, 0, 0, 0, 0, 0, 0)
  @usableFromInline init() {}
}

extension UnsafeMutablePointer where Pointee == G {
  /// The head, as C takes it.
  var cHead: UnsafeMutablePointer<apus_g_head> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: apus_g_head.self)
  }

  /// Where its stack ends and its saved stack pointer, read while others may write them: either may be old.
  var peekStackTop: UInt { withUnsafePointer(to: &pointee.head.stack_hi) { apus_peek_word($0) } }
  var peekStackPointer: UInt { withUnsafePointer(to: &pointee.head.sp) { apus_peek_word($0) } }

  /// The goroutine's slot, 64 bytes aligned by 16.
  @inlinable
  @inline(__always)
  public var slotAddress: UnsafeMutableRawPointer {
    withUnsafeMutablePointer(to: &pointee.slot) { UnsafeMutableRawPointer($0) }
  }

  /// Where the entry lies before the goroutine runs: the slot's first two words.
  @inlinable
  @inline(__always)
  public var entryAddress: UnsafeMutablePointer<Entry> {
    slotAddress.assumingMemoryBound(to: Entry.self)
  }

  /// Where the entry's payload lies: the rest of the slot, `SlotSize.payload` bytes.
  @inlinable
  @inline(__always)
  public var payloadAddress: UnsafeMutableRawPointer {
    slotAddress + MemoryLayout<Entry>.stride
  }

  /// The address of the goroutine's own waiter.
  @inlinable
  @inline(__always)
  public var ownWaiter: UnsafeMutablePointer<Waiter> {
    withUnsafeMutablePointer(to: &pointee.waiter) { $0 }
  }
}

/// The size and alignment of a goroutine's slot.
public enum SlotSize {
  @inlinable @inline(__always) public static var bytes: Int { 64 }
  /// What is left of it beside an entry.
  @inlinable @inline(__always) public static var payload: Int { 48 }
  @inlinable @inline(__always) public static var alignment: Int { 16 }
}
