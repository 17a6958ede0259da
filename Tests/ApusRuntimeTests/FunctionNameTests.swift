import Testing

@testable import ApusRuntime

/// Names as reports show them.
@Suite struct FunctionNameTests {
  private static func text(_ symbol: String, demangles: Bool = true) -> String {
    symbol.withCString { symbol in
      withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { memory in
        var text = BoundedText(memory)
        FunctionName(symbol).write(to: &text, demangles: demangles)
        return String(decoding: text.bytes, as: UTF8.self)
      }
    }
  }

  @Test(arguments: [
    // A generic function, a method of a generic type, an operator of angle brackets (of the standard library, whose name
    // is not shortened).
    ("$s9ApusTests6opaqueyxxlF", "ApusTests.opaque(_:)"),
    ("$s4Apus7ChannelC7receivexSgyF", "Apus.Channel.receive()"),
    ("$sSi1loiySbSi_SitFZ", "Int.< infix(_:_:)"),
    // A static method, a closure in it, what calls that with what it has captured.
    ("$s4Apus7RuntimeO4dump3allS2b_tFZ", "Apus.Runtime.dump(all:)"),
    ("$s4Apus7RuntimeO4dump3allS2b_tFZyycfU_", "closure #1 in Apus.Runtime.dump(all:)"),
    ("$s4Apus7RuntimeO4dump3allS2b_tFZyycfU_TA", "closure #1 in Apus.Runtime.dump(all:)"),
    // No function of Swift's.
    ("usleep", "usleep(...)"), ("main", "main(...)"),
  ])
  func isReadable(name: (symbol: String, text: String)) {
    #expect(Self.text(name.symbol) == name.text)
    #expect(Self.text(name.symbol, demangles: false) == name.symbol + "(...)")
  }
}
