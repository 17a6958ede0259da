/// Why a goroutine waits; the words are Go's (`waitReasonStrings`) and appear in dumps.
public enum WaitReason: UInt8 {
  case none
  case channelReceive
  case channelSend
  case select
  case selectNoCases
  case waitGroup
  case sleep
  case semaphore
  case mutexLock
  case rwMutexReadLock
  case rwMutexLock
  case conditionWait
  case stoppingTheWorld
  case ioWait
  case sweepWait
  case scavengeWait
  case cleanupWait
  case markWorkerIdle
  case forceCollectionIdle
  case collectionWait
  case cleanupAssist
  case shelfWait

  /// It waits for a lock (Go's `isMutexWait`).
  var isMutexWait: Bool { self == .mutexLock || self == .rwMutexReadLock || self == .rwMutexLock }

  /// It waits for what another goroutine does: a block profile counts that.
  var isForOthers: Bool {
    switch self {
    case .channelReceive, .channelSend, .select, .waitGroup, .semaphore, .mutexLock, .rwMutexReadLock, .rwMutexLock,
      .conditionWait:
      true
    case .none, .selectNoCases, .sleep, .stoppingTheWorld, .ioWait, .sweepWait, .scavengeWait, .cleanupWait,
      .markWorkerIdle, .forceCollectionIdle, .collectionWait, .cleanupAssist, .shelfWait:
      false
    }
  }

  /// Go's words for it.
  package var text: StaticString {
    switch self {
    case .none: ""
    case .channelReceive: "chan receive"
    case .channelSend: "chan send"
    case .select: "select"
    case .selectNoCases: "select (no cases)"
    case .waitGroup: "sync.WaitGroup.Wait"
    case .sleep: "sleep"
    case .semaphore: "semacquire"
    case .mutexLock: "sync.Mutex.Lock"
    case .rwMutexReadLock: "sync.RWMutex.RLock"
    case .rwMutexLock: "sync.RWMutex.Lock"
    case .conditionWait: "sync.Cond.Wait"
    case .stoppingTheWorld: "stopping the world"
    case .ioWait: "IO wait"
    case .sweepWait: "GC sweep wait"
    case .scavengeWait: "GC scavenge wait"
    case .cleanupWait: "cleanup wait"
    case .markWorkerIdle: "GC worker (idle)"
    case .forceCollectionIdle: "force gc (idle)"
    case .collectionWait: "wait for GC cycle"
    case .cleanupAssist: "GC cleanup assist wait"
    case .shelfWait: "stack shelf wait"
    }
  }
}
