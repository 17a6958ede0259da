import CApus

/// The name of a function as a report shows it: `module.Type.function(label:)`, or `closure #1 in module.function()`. Of a
/// function that is none of Swift's, its symbol and `(...)`.
struct FunctionName {
  private let symbol: ByteText

  init(_ symbol: UnsafePointer<CChar>) {
    self.symbol = ByteText(cString: symbol)
  }

  init(_ symbol: ByteText) {
    self.symbol = symbol
  }

  /// What the compiler calls a check that has failed, as an inlined function at the trap: the reason follows.
  static var failure: StaticString { "Swift runtime failure: " }

  /// A check inlined by the compiler, which is a function only in the eyes of debug information.
  var isFailure: Bool { symbol.starts(with: Self.failure) }

  /// Whether it is the runtime's own (Go's `showframe`): of the module ApusRuntime or the C and assembly beneath it; or what
  /// stands between a goroutine's first frame and its body, or a fatal report and the function that asked for it; or
  /// one of the compiler's adapters between calling conventions, whose names end in `TR`. The public functions of Apus
  /// are not.
  var isOfRuntime: Bool {
    isOfModuleApusRuntime || symbol.starts(with: "$sSp11ApusRuntime") || isOfC
      || symbol.starts(with: "$s4Apus6LaunchO") || symbol.starts(with: "$s4Apus5FatalO")
      || (symbol.starts(with: "$s") && symbol.dropFirst(symbol.count - 2).equals("TR"))
  }

  /// A function of one of the types of the module ApusRuntime.
  var isOfModuleApusRuntime: Bool { symbol.starts(with: "$s11ApusRuntime") }

  /// A function by which goroutines of the runtime are started.
  var isOfSystemGoroutine: Bool { symbol.starts(with: "$s11ApusRuntime15SystemGoroutine") }

  /// A function of the standard library, or of an extension of one of its types.
  var isOfStandardLibrary: Bool { symbol.starts(with: "$ss") || symbol.starts(with: "$sS") }

  /// One of CApus's functions; by whole names where they have not the prefix, since a program's own may begin so.
  private var isOfC: Bool { symbol.starts(with: "apus_") && isExactlyOfC || symbol.equals("rt0_main") }

  private var isExactlyOfC: Bool {
    symbol.equals("apus_call_main") || symbol.equals("apus_goroutine_main") || symbol.equals("apus_goexit")
      || symbol.equals("apus_goexit1") || symbol.equals("apus_fault_entry") || symbol.equals("apus_fault_main")
      || symbol.equals("apus_call_on_stack") || symbol.equals("apus_unwind") || symbol.equals("apus_current_m")
      || symbol.equals("apus_get_sched") || symbol.equals("apus_return_address") || symbol.equals("apus_isolate")
      || symbol.equals("apus_preempt_pending")
  }

  /// One of the functions of Apus that spawn. They are inlined into those that a goroutine is said to be created by.
  var isGo: Bool { symbol.starts(with: "$s4Apus2go") || symbol.starts(with: "$s4Apus9WaitGroupC2go") }

  /// What calls a closure with what it has captured.
  var isPartialApply: Bool { symbol.starts(with: "$s") && symbol.dropFirst(symbol.count - 2).equals("TA") }

  /// A function of `Park`.
  var isParking: Bool { symbol.starts(with: "$s11ApusRuntime4ParkO") }

  /// Adds the name to `text`, mangled unless `demangles`.
  func write(to text: inout BoundedText, demangles: Bool) {
    if demangles && writeDemangled(to: &text) { return }
    text.add(symbol)
    text.add("(...)")
  }

  /// False for a name that has no other form.
  private func writeDemangled(to text: inout BoundedText) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 1) { buffer in
      let length = apus_demangle(
        symbol.start.assumingMemoryBound(to: CChar.self), symbol.count,
        buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self), buffer.count)
      if length <= 0 { return false }
      let name = Self.withoutGenerics(UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(length)))
      write(demangled: name, to: &text)
      return true
    }
  }

  /// Takes out what stands in angle brackets behind a name. An operator of such characters stands behind a dot.
  private static func withoutGenerics(_ name: UnsafeMutableRawBufferPointer) -> ByteText {
    var kept = 0
    var depth = 0
    for index in 0..<name.count {
      let byte = name[index]
      if byte == UInt8(ascii: "<") && (depth > 0 || (kept > 0 && isOfIdentifier(name[kept - 1]))) {
        depth += 1
      } else if byte == UInt8(ascii: ">") && depth > 0 {
        // That of an arrow closes nothing.
        if name[index - 1] != UInt8(ascii: "-") { depth -= 1 }
      } else if depth == 0 {
        name[kept] = byte
        kept += 1
      }
    }
    return ByteText(UnsafeRawBufferPointer(rebasing: name.prefix(kept)))
  }

  private static func isOfIdentifier(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
      true
    default: false
    }
  }

  /// Leaves out what says how the compiler came by the function, and adds the module.
  private func write(demangled: ByteText, to text: inout BoundedText) {
    var name = demangled
    while let rest = name.without("specialized ") ?? name.without("static ") ?? name.without("merged ")
      ?? name.without("partial apply for ")
    { name = rest }
    let isClosure = name.starts(with: "closure #") || name.starts(with: "implicit closure #")
    // A closure is named after the function that it stands in; other names with spaces are the compiler's.
    let start = isClosure ? name.endOfLast(" in ") : name.firstIndex(of: UInt8(ascii: " ")) == nil ? 0 : nil
    if let start, let module {
      text.add(name.prefix(start))
      text.add(module)
      text.add(byte: UInt8(ascii: "."))
      let rest = name.dropFirst(start)
      text.add(rest.without("static ") ?? rest)
    } else {
      text.add(name)
    }
    if name.count == 0 || name[name.count - 1] != UInt8(ascii: ")") { text.add("(...)") }
  }

  /// The module of a mangled name that begins with one: `$s`, the number of its bytes, the bytes.
  private var module: ByteText? {
    guard symbol.starts(with: "$s") else { return nil }
    var rest = symbol.dropFirst(2)
    var length = 0
    while rest.count > 0, rest[0] >= UInt8(ascii: "0"), rest[0] <= UInt8(ascii: "9"), length < 1000 {
      length = length * 10 + Int(rest[0] - UInt8(ascii: "0"))
      rest = rest.dropFirst(1)
    }
    return length > 0 && length <= rest.count ? rest.prefix(length) : nil
  }
}

extension ByteText {
  func starts(with text: StaticString) -> Bool { prefix(text.utf8CodeUnitCount).equals(text) }

  /// What follows `text` at the beginning; nil when something else stands there.
  fileprivate func without(_ text: StaticString) -> ByteText? {
    starts(with: text) ? dropFirst(text.utf8CodeUnitCount) : nil
  }

  /// Where the last `text` ends.
  fileprivate func endOfLast(_ text: StaticString) -> Int? {
    var index = count - text.utf8CodeUnitCount
    while index >= 0 {
      if dropFirst(index).starts(with: text) { return index + text.utf8CodeUnitCount }
      index -= 1
    }
    return nil
  }
}
