import CApus

/// The functions of a trace's stacks, each address looked up once a session. It allocates: for the thread that writes the
/// file.
struct TraceFrames: ~Copyable {
  /// A function at an address, by the numbers of its strings.
  struct Frame {
    /// The format knows one function at an address. Functions that were inlined there are told apart by what is added to
    /// the top of it.
    var key: UInt64
    var function: UInt64
    var file: UInt64
    var line: UInt64
  }

  /// Whose a function is: what of the standard library the runtime calls is not shown either.
  private enum Function {
    case programs(Frame)
    case library(Frame)
    case runtimes
  }

  private var lookup = FrameLookup()
  private var known: [UInt: [Function]] = [:]
  var strings = TraceStrings()

  mutating func close() { lookup.close() }

  /// The functions of `stack`, innermost first, without the runtime's own; of a goroutine of the runtime the outermost.
  mutating func frames(of stack: UnsafeMutablePointer<apus_trace_stack>) -> [Frame] {
    let count = Int(stack.pointee.count)
    guard let pcs = apus_trace_stack_pcs(stack), count > 0 else { return [] }
    if pcs[0] == 0 { return beginning(entry: pcs[1], creation: pcs[2]) }
    var shown: [Frame] = []
    var isInRuntime = false
    for index in (0..<count).reversed() {
      for function in functions(at: pcs[index]).reversed() {
        switch function {
        case .runtimes: isInRuntime = true
        case .library(let frame): if !isInRuntime { shown.append(frame) }
        case .programs(let frame):
          isInRuntime = false
          shown.append(frame)
        }
      }
    }
    if shown.isEmpty {
      // The last addresses are those of the way from a goroutine's first instruction to its body.
      for index in (0..<count).reversed() {
        if let frame = outermostOfRuntime(at: pcs[index]) { return [frame] }
      }
    }
    return shown.reversed()
  }

  private mutating func outermostOfRuntime(at address: UInt) -> Frame? {
    for (depth, line) in lookup.lines(at: address).enumerated().reversed() {
      let isIts = line.function.symbol.withCString { symbol in
        let name = FunctionName(symbol)
        return name.isOfModuleApusRuntime && !name.isOfSystemGoroutine
      }
      if isIts { return frame(line, at: address, depth: depth) }
    }
    return nil
  }

  /// What a new goroutine begins with, by which `go tool trace` names it: the function that it was spawned with, where that
  /// is known, else the one that has spawned it.
  private mutating func beginning(entry: UInt, creation: UInt) -> [Frame] {
    if let line = lookup.function(beginningAt: entry) { return [frame(line, at: entry, depth: 0)] }
    for function in functions(at: creation) {
      switch function {
      case .programs(let frame), .library(let frame): return [frame]
      case .runtimes: continue
      }
    }
    return []
  }

  /// Those at `address`, inlined into each other, innermost first.
  private mutating func functions(at address: UInt) -> [Function] {
    if let found = known[address] { return found }
    var functions: [Function] = []
    for (depth, line) in lookup.lines(at: address).enumerated() {
      let (isRuntimes, isLibrarys) = line.function.symbol.withCString { symbol in
        let name = FunctionName(symbol)
        return (name.isOfRuntime || name.isGo, name.isOfStandardLibrary)
      }
      if isRuntimes {
        functions.append(.runtimes)
      } else {
        let frame = frame(line, at: address, depth: depth)
        functions.append(isLibrarys ? .library(frame) : .programs(frame))
      }
    }
    known[address] = functions
    return functions
  }

  private mutating func frame(_ line: FrameLookup.Line, at address: UInt, depth: Int) -> Frame {
    Frame(
      key: UInt64(address) | UInt64(depth) << 48, function: strings.number(of: line.function.name),
      file: strings.number(of: line.function.file), line: line.line)
  }
}
