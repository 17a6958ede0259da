import CApus

/// What the environment asks of the runtime (Go's `parsedebugvars` and the variables beside it).
///
/// A value that is wrong is reported once and ignored: the default stays. Of a key that GODEBUG repeats the last
/// occurrence counts, of a variable that the environment repeats the first, as for `getenv`. An empty variable is one
/// that is not set.
package struct Knobs {
  /// GOTRACEBACK: whose stacks a fatal report shows.
  package enum Traceback: UInt8, Comparable {
    /// No stacks.
    case none
    /// The goroutine that failed.
    case single
    /// All of the user's goroutines.
    case all
    /// The runtime's goroutines and frames too.
    case system
    /// As `system`, then the process ends by SIGABRT, for a core dump.
    case crash

    package static func < (a: Traceback, b: Traceback) -> Bool { a.rawValue < b.rawValue }
  }

  /// The most Ps that GOMAXPROCS can ask for.
  package static var maximumProcessors: Int { 1024 }
  /// The bounds of APUS_STACK, in bytes.
  package static var minimumStackSize: Int { 16 << 10 }
  package static var maximumStackSize: Int { 1 << 30 }

  /// boottrace: the boot trace is wanted.
  package private(set) var boottrace: Int32 = 0
  /// inittrace: a line for each function registered for the start (`InitTrace`).
  package private(set) var inittrace: Int32 = 0
  /// schedtrace: milliseconds between two lines about the scheduler; 0 for none.
  package private(set) var schedtrace: Int32 = 0
  /// scheddetail: schedtrace tells about every P, M and G.
  package private(set) var scheddetail: Int32 = 0
  /// asyncpreemptoff: a goroutine is not stopped outside scheduling points.
  package private(set) var asyncpreemptoff: Int32 = 0
  /// blockdetectoff: the kernel is not asked whether an M blocks without having said so; the signal may still stop it.
  package private(set) var blockdetectoff: Int32 = 0
  /// placementoff: no thread's affinity is changed (`Placement`).
  package private(set) var placementoff: Int32 = 0
  /// userfaultfdoff: stacks that were kept elsewhere come back without userfaultfd (`Shelf`).
  package private(set) var userfaultfdoff: Int32 = 0
  /// gctrace: a line for each collection.
  package private(set) var gctrace: Int32 = 0
  /// gcstoptheworld: collections stop the world.
  package private(set) var gcstoptheworld: Int32 = 0
  /// heapcheck: the managed heap checks itself.
  package private(set) var heapcheck: Int32 = 0
  /// attach: other processes of the user may look into this one (`AttachSession`).
  package private(set) var attach: Int32 = 1
  /// seed: of the runtime's random choices; nil for AT_RANDOM's.
  package private(set) var seed: UInt64?

  /// GOTRACEBACK.
  package private(set) var traceback = Traceback.single
  /// GOMAXPROCS; 0 when it is not set.
  package private(set) var maxProcs = 0
  /// APUS_STACK, bytes of a goroutine's stack, not rounded; 0 when it is not set.
  package private(set) var stackSize = 0
  /// APUS_SHELVE: for how many nanoseconds a goroutine waits before its stack is kept elsewhere (`Shelver`); 0 for ever.
  package internal(set) var shelving: Int64 = 0
  /// GOGC: by how many per cent the managed heap may grow between two collections; -1 for off.
  package internal(set) var gcPercent = 100
  /// GOMEMLIMIT: how many bytes the process should have in memory; `Int.max` when it is not set, or off.
  package internal(set) var memoryLimit = Int.max
  /// APUS_TRACE: the path of the execution trace, in the environment's memory; nil when it is not set.
  package private(set) var tracePath: UnsafePointer<CChar>?

  /// The defaults.
  package init() {}

  /// Reads the knobs from `environment`, and hands a line for each bad value to `report`. `isSecure`: the program has
  /// rights that its caller, whose environment it is, has not (AT_SECURE). It writes no file then that the caller names, and
  /// shows nobody's stack (Go's `secureEnv`).
  package init(
    environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?, isSecure: Bool = false,
    report: (ByteText) -> Void = BootMessage.standardError
  ) {
    if let text = Self.value("GODEBUG", environment) { parseDebug(text, report) }
    if let text = Self.value("GOTRACEBACK", environment) { parseTraceback(text, report) }
    if let text = Self.value("GOMAXPROCS", environment) { parseMaxProcs(text, report) }
    if let text = Self.value("APUS_STACK", environment) { parseStackSize(text, report) }
    if let text = Self.value("APUS_SHELVE", environment) { parseShelving(text, report) }
    if let text = Self.value("GOGC", environment) { parsePercent(text, report) }
    if let text = Self.value("GOMEMLIMIT", environment) { parseMemoryLimit(text, report) }
    if isSecure {
      traceback = .none
    } else if let path = ProcessEnvironment.value(of: "APUS_TRACE", in: environment), path[0] != 0 {
      tracePath = path
    }
  }

  /// Whether GODEBUG asks for the boot trace. Boot has to know before it reads the knobs; says nothing about bad values,
  /// since that comes later.
  package static func wantsBootTrace(_ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?) -> Bool {
    guard var rest = value("GODEBUG", environment) else { return false }
    var isWanted = false
    while var item = rest.takeItem(before: 0x2C) {
      guard let key = item.takeField(before: 0x3D), key.equals("boottrace") else { continue }
      isWanted = (item.decimal.flatMap { Int32(exactly: $0) } ?? 0) != 0
    }
    return isWanted
  }

  private static func value(
    _ name: StaticString, _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
  ) -> ByteText? {
    guard let string = ProcessEnvironment.value(of: name, in: environment), string[0] != 0 else { return nil }
    return ByteText(cString: string)
  }

  private mutating func parseDebug(_ text: ByteText, _ report: (ByteText) -> Void) {
    var rest = text
    while let item = rest.takeItem(before: 0x2C) {
      if item.isEmpty { continue }
      var value = item
      let key = value.takeField(before: 0x3D) ?? item
      // The last occurrence decides, and is thus the only one to be complained about.
      if Self.hasItem(key, in: rest) { continue }
      guard item.count > key.count else {
        BootMessage.compose(
          { message in
            message.add(Self.isKey(key) ? "GODEBUG: key \"" : "GODEBUG: unknown key \"")
            message.add(value: key)
            message.add(Self.isKey(key) ? "\" without a value ignored" : "\" ignored")
          }, to: report)
        continue
      }
      set(key, value, report)
    }
  }

  private static func hasItem(_ key: ByteText, in text: ByteText) -> Bool {
    var rest = text
    while var item = rest.takeItem(before: 0x2C) {
      let other = item.takeField(before: 0x3D) ?? item
      if other.equals(key) { return true }
    }
    return false
  }

  private static func isKey(_ key: ByteText) -> Bool {
    var knobs = Knobs()
    return key.equals("seed") || knobs.withFlag(key) { _ in }
  }

  private mutating func set(_ key: ByteText, _ value: ByteText, _ report: (ByteText) -> Void) {
    let number = value.decimal
    if key.equals("seed") {
      if let number {
        seed = number
      } else {
        Self.refuse(key, value, limit: .max, report)
      }
      return
    }
    let flag = number.flatMap { Int32(exactly: $0) }
    let isKnown = withFlag(key) { if let flag { $0 = flag } }
    if !isKnown {
      BootMessage.compose(
        { message in
          message.add("GODEBUG: unknown key \"")
          message.add(value: key)
          message.add("\" ignored")
        }, to: report)
    } else if flag == nil {
      Self.refuse(key, value, limit: UInt64(Int32.max), report)
    }
  }

  private static func refuse(_ key: ByteText, _ value: ByteText, limit: UInt64, _ report: (ByteText) -> Void) {
    BootMessage.compose(
      { message in
        message.add("GODEBUG: ")
        message.add(value: key)
        message.add("=\"")
        message.add(value: value)
        if value.isWholeNumber {
          message.add("\" is not between 0 and ")
          message.add(limit)
        } else {
          message.add("\" is not a number")
        }
        message.add("; ignored")
      }, to: report)
  }

  /// Calls `body` with each flag and its name.
  private mutating func eachFlag(_ body: (StaticString, inout Int32) -> Void) {
    body("boottrace", &boottrace)
    body("inittrace", &inittrace)
    body("schedtrace", &schedtrace)
    body("scheddetail", &scheddetail)
    body("asyncpreemptoff", &asyncpreemptoff)
    body("blockdetectoff", &blockdetectoff)
    body("placementoff", &placementoff)
    body("userfaultfdoff", &userfaultfdoff)
    body("gctrace", &gctrace)
    body("gcstoptheworld", &gcstoptheworld)
    body("heapcheck", &heapcheck)
    body("attach", &attach)
  }

  /// Calls `body` with the flag called `key`; false when there is none.
  private mutating func withFlag(_ key: ByteText, _ body: (inout Int32) -> Void) -> Bool {
    var isKnown = false
    eachFlag { name, flag in
      if !key.equals(name) { return }
      isKnown = true
      body(&flag)
    }
    return isKnown
  }

  /// The keys of GODEBUG that have another value than their default, for the boot trace.
  package var debugDescription: String {
    var (given, defaults) = (self, Knobs())
    var standards: [Int32] = []
    defaults.eachFlag { standards.append($1) }
    var items: [String] = []
    var index = 0
    given.eachFlag { name, flag in
      if flag != standards[index] { items.append("\(name)=\(flag)") }
      index += 1
    }
    if let seed { items.append("seed=\(seed)") }
    return items.joined(separator: ",")
  }

  private mutating func parseTraceback(_ text: ByteText, _ report: (ByteText) -> Void) {
    if text.equals("none") || text.equals("0") {
      traceback = .none
    } else if text.equals("single") {
      traceback = .single
    } else if text.equals("all") || text.equals("1") {
      traceback = .all
    } else if text.equals("system") || text.equals("2") {
      traceback = .system
    } else if text.equals("crash") {
      traceback = .crash
    } else {
      BootMessage.compose(
        { message in
          message.add("GOTRACEBACK=\"")
          message.add(value: text)
          message.add("\" is none of none, single, all, system, crash, 0, 1 and 2; ignored")
        }, to: report)
    }
  }

  private mutating func parseMaxProcs(_ text: ByteText, _ report: (ByteText) -> Void) {
    if let number = text.decimal, number >= 1, number <= UInt64(Self.maximumProcessors) {
      maxProcs = Int(number)
      return
    }
    BootMessage.compose(
      { message in
        message.add("GOMAXPROCS=\"")
        message.add(value: text)
        message.add("\" is not a whole number from 1 to ")
        message.add(UInt64(Self.maximumProcessors))
        message.add("; ignored")
      }, to: report)
  }

  private mutating func parseStackSize(_ text: ByteText, _ report: (ByteText) -> Void) {
    var shift: UInt64 = 0
    switch text[text.count - 1] {
    case 0x6B, 0x4B: shift = 10  // k, K
    case 0x6D, 0x4D: shift = 20  // m, M
    case 0x67, 0x47: shift = 30  // g, G
    default: break
    }
    let limit = UInt64(Self.maximumStackSize)
    if let number = text.prefix(text.count - (shift > 0 ? 1 : 0)).decimal, number <= limit >> shift,
      number << shift >= UInt64(Self.minimumStackSize)
    {
      stackSize = Int(number << shift)
      return
    }
    BootMessage.compose(
      { message in
        message.add("APUS_STACK=\"")
        message.add(value: text)
        message.add("\" is not a size from 16k to 1g (a number of bytes, or one followed by k, m or g); ignored")
      }, to: report)
  }
}
