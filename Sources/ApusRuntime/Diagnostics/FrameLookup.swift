import CApus

/// The functions at addresses as values, for profiles: those that a report would show, names demangled. The opposite of
/// `FrameTexts`: it allocates, and every lookup is made anew.
package struct FrameLookup: ~Copyable {
  /// A function that code at an address stands in.
  package struct Function: Hashable, Sendable {
    /// As a report shows it: `module.Type.function(label:)`.
    package var name: String
    /// As the linker knows it; "" where nothing is known.
    package var symbol: String
    /// The path of its source file; "" where there is no debug information.
    package var file: String
  }

  /// Where in it: 0 for an unknown line.
  package struct Line: Sendable {
    package var function: Function
    package var line: UInt64
  }

  private var table = SymbolTable()

  package init() {}

  /// Gives the mapped files back.
  package mutating func close() { table.close() }

  /// The functions at `address`, an address inside an instruction, innermost first; at least one.
  package mutating func lines(at address: UInt) -> [Line] {
    let (symbol, frames) = table.lookUp(address)
    var lines: [Line] = []
    for index in (0..<max(frames.count, 1)).reversed() {
      let frame = index < frames.count ? frames[index] : SourceFrame()
      // As in `FrameTexts.compose`.
      let name = index == 0 ? symbol.name ?? frame.name : frame.name
      if let name, FunctionName(name).isFailure { continue }
      if index == 0, !lines.isEmpty, let name, FunctionName(name).isPartialApply { continue }
      var function = Function(name: "?", symbol: "", file: "")
      if let name {
        function.symbol = String(cString: name)
        function.name = Self.text { FunctionName(name).write(to: &$0, demangles: true) }
      } else if let path = symbol.path {
        function.name = String(cString: SourcePlace.lastComponent(of: path))
      }
      if let place = frame.place { function.file = Self.text { FramePlace.writePath(of: place, to: &$0) } }
      lines.append(Line(function: function, line: frame.place?.line ?? 0))
    }
    return lines
  }

  /// Whether all functions at `address`, an address inside an instruction, are the runtime's.
  mutating func isOfRuntime(_ address: UInt) -> Bool {
    lines(at: address).allSatisfy { line in line.function.symbol.withCString { FunctionName($0).isOfRuntime } }
  }

  /// The function whose first instruction is at `address`, which may be anything; nil when there is none, or it is not
  /// the program's own.
  package mutating func function(beginningAt address: UInt) -> Line? {
    let symbol = table.lookUp(address).symbol
    guard symbol.functionOffset == 0, let name = symbol.name, !FunctionName(name).isOfRuntime,
      !FunctionName(name).isGo
    else { return nil }
    return lines(at: address).last
  }

  private static func text(_ body: (inout BoundedText) -> Void) -> String {
    withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 1) { memory in
      var text = BoundedText(memory)
      body(&text)
      return String(decoding: text.bytes, as: UTF8.self)
    }
  }
}
