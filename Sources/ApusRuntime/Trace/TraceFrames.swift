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

  private var lookup = FrameLookup()
  private var known: [UInt: [Frame]] = [:]
  var strings = TraceStrings()

  mutating func close() { lookup.close() }

  /// The functions of `stack`, innermost first, without the runtime's own.
  mutating func frames(of stack: UnsafeMutablePointer<apus_trace_stack>) -> [Frame] {
    let count = Int(stack.pointee.count)
    guard let pcs = apus_trace_stack_pcs(stack), count > 0 else { return [] }
    if pcs[0] == 0 { return beginning(entry: pcs[1], creation: pcs[2]) }
    var all: [Frame] = []
    for index in 0..<count { all += frames(at: pcs[index]) }
    return all
  }

  /// What a new goroutine begins with, by which `go tool trace` names it: the function that it was spawned with, where that
  /// is known, else the one that has spawned it.
  private mutating func beginning(entry: UInt, creation: UInt) -> [Frame] {
    if let line = lookup.function(beginningAt: entry) { return [frame(line, at: entry, depth: 0)] }
    return frames(at: creation).first.map { [$0] } ?? []
  }

  private mutating func frames(at address: UInt) -> [Frame] {
    if let found = known[address] { return found }
    var frames: [Frame] = []
    for (depth, line) in lookup.lines(at: address).enumerated() {
      let isShown = line.function.symbol.withCString { symbol in
        let name = FunctionName(symbol)
        return !name.isOfRuntime && !name.isGo
      }
      if isShown { frames.append(frame(line, at: address, depth: depth)) }
    }
    known[address] = frames
    return frames
  }

  private mutating func frame(_ line: FrameLookup.Line, at address: UInt, depth: Int) -> Frame {
    Frame(
      key: UInt64(address) | UInt64(depth) << 48, function: strings.number(of: line.function.name),
      file: strings.number(of: line.function.file), line: line.line)
  }
}
