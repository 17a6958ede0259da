import Foundation
import Testing

extension Programs {
  /// Ways into the runtime other than by our entry point and a plain `main`.
  @Suite struct Starts {
    static var hasLibcsEntry: Bool {
      #if DEBUG
        true
      #else
        false
      #endif
    }

    @Test(arguments: ["1", "2", "8"])
    func aLinkTimeInitialiserMayUseTheRuntime(processors: String) throws {
      for _ in 0..<5 {
        let result = try run(
          product("early-start"), environment: inheritedEnvironment(["GOMAXPROCS": processors]), timeout: .seconds(20))
        #expect(result.status == 0, "\(result)")
        #expect(
          result.output == """
            main is goroutine 1
            on the main thread: true
            the hook ran on goroutine 1: true
            a task went on

            """, "\(result)")
      }
    }

    /// By its name, when it began and how long it took: it has others take thousands of turns.
    @Test func eachFunctionOfTheStartIsTold() throws {
      let result = try run(
        product("early-start"), environment: inheritedEnvironment(["GODEBUG": "inittrace=1"]), timeout: .seconds(20))
      #expect(result.status == 0, "\(result)")
      #expect(result.errorLines.count == 1, "\(result)")
      let line = try #require(result.errorLines.first)
      let match = try #require(
        line.wholeMatch(of: /init closure #2 in early_start\.Early\.initialize\(\) @([0-9.]+) ms, ([0-9.]+) ms clock/),
        "\(result)")
      #expect((0.01..<20_000).contains(try #require(Double(match.1))), "\(result)")
      #expect((0.01..<20_000).contains(try #require(Double(match.2))), "\(result)")
    }

    @Test func withoutTheKeyTheStartIsSilent() throws {
      let result = try run(product("early-start"), environment: inheritedEnvironment(), timeout: .seconds(20))
      #expect(result.errorLines == [], "\(result)")
    }

    @Test(.enabled(if: hasLibcsEntry, "a release link drops libc's own entry point"), arguments: ["1", "2", "8"])
    func theFirstUseStartsTheRuntimeWhereTheEntryPointDidNotRun(processors: String) throws {
      let program = try enteredByLibc("lazy-start")
      defer { try? FileManager.default.removeItem(atPath: program) }
      for _ in 0..<20 {
        let result = try run(
          program, environment: inheritedEnvironment(["GOMAXPROCS": processors]), timeout: .seconds(20))
        #expect(result.status == 0, "\(result)")
        #expect(result.output == "main is a goroutine: false\nreceived 8, wrong 0\n", "\(result)")
      }
    }

    @Test(.enabled(if: hasLibcsEntry, "a release link drops libc's own entry point"))
    func anOverflowIsReportedThereToo() throws {
      let program = try enteredByLibc("lazy-start")
      defer { try? FileManager.default.removeItem(atPath: program) }
      let result = try run(program, ["overflow"], timeout: .seconds(20))
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("goroutine stack exceeds 262144-byte limit"), "\(result)")
    }

    /// Where the process is another's, so are the faults of its own threads, and signals that are sent to it.
    @Test(
      .enabled(if: hasLibcsEntry, "a release link drops libc's own entry point"),
      arguments: [("guest", 7), ("guest-sent", 7), ("guest-goroutine", 2)] as [(String, Int32)])
    func aGuestLeavesTheHostItsFaults(scenario: (name: String, status: Int32)) throws {
      let program = try enteredByLibc("lazy-start")
      defer { try? FileManager.default.removeItem(atPath: program) }
      let result = try run(program, [scenario.name], timeout: .seconds(20))
      #expect(result.status == scenario.status, "\(result)")
      #expect(result.errors.hasPrefix("panic: invalid memory address") == (scenario.status == 2), "\(result)")
    }

    @Test func anUnlimitedStackIsNoTrouble() throws {
      let result = try run("/bin/sh", ["-c", "ulimit -s unlimited && exec '\(product("hello"))'"])
      #expect(result.output == "Hello, world.\n", "\(result)")
    }

    /// A copy of a product whose ELF header names `_start`, libc's entry point, in place of ours.
    private func enteredByLibc(_ name: String) throws -> String {
      let original = try product(name)
      let symbols = try run("/usr/bin/env", ["readelf", "-sW", original])
      let line = symbols.output.split(separator: "\n").first { $0.hasSuffix(" _start") }
      let fields = try #require(line, "no symbol _start in \(name)").split(separator: " ")
      let address = try #require(UInt64(fields[1], radix: 16))
      var bytes = try Data(contentsOf: URL(fileURLWithPath: original))
      withUnsafeBytes(of: address.littleEndian) { bytes.replaceSubrange(24..<32, with: $0) }  // e_entry
      // Beside the original: it finds its libraries by a path relative to itself.
      let copy = original + ".entered-by-libc.\(UUID().uuidString)"
      try bytes.write(to: URL(fileURLWithPath: copy))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: copy)
      return copy
    }
  }
}
