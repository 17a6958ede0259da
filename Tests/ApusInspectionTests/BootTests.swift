import ApusInspection
import Testing

@Suite struct BootTests {
  @Test func readsLines() {
    let line = "  5  settls                           824686 ns  wrote 0x123 and read it back"
    #expect(
      BootStep(line[...]) == BootStep(ordinal: 5, name: "settls", time: 824_686, detail: "wrote 0x123 and read it back")
    )
    #expect(BootStep("  1  main   10 ns")?.detail == "")
    for line in ["", "  5", "panic: 5", "3 little pigs ran", "  x  main  10 ns", "  1  main  -1 ns", "1 a 5 ms"] {
      #expect(BootStep(line[...]) == nil, "\(line)")
    }
  }

  @Test func drawsBars() {
    let steps = [
      BootStep(ordinal: 1, name: "entry", time: 0, detail: ""),
      BootStep(ordinal: 2, name: "half", time: 500, detail: "x"),
      BootStep(ordinal: 3, name: "end", time: 1000, detail: String(repeating: "long ", count: 20)),
    ]
    let lines = BootTimeline.text(steps, columns: 65).split(separator: "\n").map(String.init)
    #expect(lines[0] == "start-up: 3 steps in 1.00 µs")
    #expect(lines[1] == "entry ▏" + String(repeating: " ", count: 29) + "     0 ns")
    let half = String(repeating: "█", count: 15)
    let space = String(repeating: " ", count: 15)
    #expect(lines[2] == "half  \(half)\(space)   500 ns  x")
    #expect(lines[3] == "end   \(space)\(half)   500 ns  long long long lo…")
    #expect(lines.allSatisfy { $0.count <= 65 })
  }

  /// However the bytes are cut: the trace is drawn once, where `main` begins, and everything else comes through.
  @Test(arguments: 1...40) func passesOnWhatIsTheProgramsOwn(size: Int) {
    let text =
      "GODEBUG: odd\n  1  entry    0 ns\n  2  main_main   10 ns  the program's main\n7 of mine\nprompt> \n  3  exit 20 ns\n9"
    var filter = BootFilter(columns: 80)
    var output: [UInt8] = []
    let bytes = Array(text.utf8)
    for start in stride(from: 0, to: bytes.count, by: size) {
      output += filter.add(Array(bytes[start..<min(start + size, bytes.count)]))
    }
    output += filter.end()
    let lines = String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
    #expect(lines.first == "GODEBUG: odd")
    #expect(lines[1] == "start-up: 2 steps in 10 ns")
    #expect(lines.dropFirst(4) == ["7 of mine", "prompt> ", "9"])
    #expect(filter.hasTrace)
  }

  /// A prompt without a newline is not kept back.
  @Test func doesNotDelayPrompts() {
    var filter = BootFilter(columns: 80)
    #expect(filter.add(Array("password: ".utf8)) == Array("password: ".utf8))
    #expect(!filter.hasTrace)
  }
}
