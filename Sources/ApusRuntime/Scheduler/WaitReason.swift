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
    }
  }
}
