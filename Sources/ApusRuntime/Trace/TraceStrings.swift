import CApus

/// The strings that a trace's events refer to by number. Those of the scheduler have fixed numbers, since they are written
/// where nothing can be looked up; names of functions and files get theirs when the file is written, and a generation has
/// those that it uses.
struct TraceStrings {
  /// The words of Go's traces, by which `go tool trace` sorts what goroutines wait for into its profiles.
  private static func text(of reason: WaitReason) -> String {
    switch reason {
    case .none: "unspecified"
    case .channelReceive: "chan receive"
    case .channelSend: "chan send"
    case .select: "select"
    case .selectNoCases: "forever"
    case .sleep: "sleep"
    case .waitGroup, .semaphore, .mutexLock, .rwMutexReadLock, .rwMutexLock, .stoppingTheWorld: "sync"
    case .conditionWait: "sync.(*Cond).Wait"
    case .ioWait: "network"
    case .sweepWait: "GC background sweeper wait"
    case .scavengeWait, .cleanupWait, .markWorkerIdle, .forceCollectionIdle, .shelfWait: "system goroutine wait"
    case .collectionWait: "wait until GC ends"
    case .cleanupAssist: "GC cleanup assist wait"
    }
  }

  private static func text(of reason: StopTheWorld.Reason) -> String {
    switch reason {
    case .processors: "GOMAXPROCS"
    case .stacks: "all goroutines stack trace"
    case .beginningOfCollection: "GC sweep termination"
    case .endOfCollection: "GC mark termination"
    case .knobsOfCollector: "GC controller"
    case .trace: "start or stop trace"
    }
  }

  private static let fixed: [(UInt64, String)] = {
    var strings: [(UInt64, String)] = [
      (UInt64(APUS_TRACE_STRING_YIELD), "runtime.Gosched"),
      (UInt64(APUS_TRACE_STRING_PREEMPTED), "preempted"),
    ]
    var number: UInt8 = 0
    while let reason = StopTheWorld.Reason(rawValue: number) {
      strings.append((UInt64(APUS_TRACE_STRING_STOP) + UInt64(number), text(of: reason)))
      number += 1
    }
    number = 0
    while let reason = WaitReason(rawValue: number) {
      strings.append((UInt64(APUS_TRACE_STRING_BLOCK) + UInt64(number), text(of: reason)))
      number += 1
    }
    return strings
  }()

  private var numbers: [String: UInt64] = [:]
  private var texts: [String] = []
  private var used: Set<Int> = []

  /// The number of `text`; 0 for "". Those between are texts of the program's.
  mutating func number(of text: String) -> UInt64 {
    if text.isEmpty { return 0 }
    if let known = numbers[text] { return known }
    let number = Self.number(at: texts.count)
    numbers[text] = number
    texts.append(text)
    return number
  }

  private static func number(at index: Int) -> UInt64 { UInt64(APUS_TRACE_STRING_FIRST) + 1 + 2 * UInt64(index) }

  /// The generation refers to the text with this number.
  mutating func use(_ number: UInt64) {
    if number > 0 { used.insert(Int(number - Self.number(at: 0)) / 2) }
  }

  /// The strings of the generation, which is over.
  mutating func takeUsed() -> [(UInt64, String)] {
    defer { used.removeAll(keepingCapacity: true) }
    return Self.fixed + used.map { (Self.number(at: $0), texts[$0]) }
  }
}
