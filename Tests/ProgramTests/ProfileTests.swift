import Foundation
import Testing

extension Programs {
  /// Profiles are what Go's own tool takes them for.
  @Suite(.enabled(if: goTool != nil, "Go is not installed")) struct Profiles {
    @Test func goOpensAProfileOfGoroutines() throws {
      let folder = FileManager.default.temporaryDirectory.appending(path: "apus-profile-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let file = folder.appending(path: "goroutine.pb").path
      let program = try run(
        product("apus-faults"), ["waits-profile", file], environment: inheritedEnvironment(["GOMAXPROCS": "1"]))
      #expect(program.status == 0, "\(program)")
      let result = try run(try #require(goTool), ["tool", "pprof", "-traces", file], timeout: .seconds(300))
      #expect(result.status == 0, "\(result)")
      #expect(result.output.contains("Type: goroutine\n"), "\(result)")
      // Main and seventeen others, each where it waits.
      let functions = [
        "apus_faults.runWaits", "apus_faults.receive", "apus_faults.send", "apus_faults.selectTwo",
        "apus_faults.sleepLong", "apus_faults.waitForCondition", "apus_faults.waitForGroup", "apus_faults.acquire",
        "apus_faults.receiveLocked", "apus_faults.startChild", "apus_faults.lockMutex", "apus_faults.lockForReading",
        "apus_faults.lockForWriting",
      ]
      for function in functions { #expect(result.output.contains(function), "\(function): \(result)") }
      let counts = try run(try #require(goTool), ["tool", "pprof", "-top", "-cum", file], timeout: .seconds(300))
      #expect(counts.output.contains("of 18 total"), "\(counts)")
      let lines = try run(try #require(goTool), ["tool", "pprof", "-top", "-lines", file], timeout: .seconds(300))
      #expect(lines.output.contains("/Tests/Programs/faults/Waits.swift:"), "\(lines)")
    }

    /// What `go tool pprof` says of a profile that `apus-faults` has written.
    private func top(_ scenario: String, processors: String, _ options: [String]) throws -> String {
      let folder = FileManager.default.temporaryDirectory.appending(path: "apus-profile-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let file = folder.appending(path: "\(scenario).pb").path
      let program = try run(
        product("apus-faults"), [scenario, file], environment: inheritedEnvironment(["GOMAXPROCS": processors]))
      #expect(program.status == 0, "\(program)")
      let result = try run(
        try #require(goTool), ["tool", "pprof", "-top", "-cum", "-nodefraction=0"] + options + [file],
        timeout: .seconds(300))
      #expect(result.status == 0, "\(result)")
      return result.output
    }

    /// The fourth column: a function with all that it calls.
    private func sum(of function: String, in output: String) -> String? {
      let line = output.split(separator: "\n").first { $0.contains(" apus_faults.\(function)(") }
      return line.flatMap { $0.split(separator: " ").dropFirst(3).first.map(String.init) }
    }

    private static let waits = [
      "blockedReceive", "blockedSend", "blockedSelect", "blockedLock", "blockedRead", "blockedWrite", "blockedJoin",
      "blockedCondition", "blockedAcquire",
    ]

    /// Each wait is in it; sleeping is none.
    @Test(arguments: ["1", "2", "8"]) func goOpensAProfileOfWaits(processors: String) throws {
      let delays = try top("block-profile", processors: processors, ["-lines"])
      #expect(delays.contains("Type: delay\n"), "\(delays)")
      #expect(delays.contains("/Tests/Programs/faults/Contention.swift:"), "\(delays)")
      let counts = try top("block-profile", processors: processors, ["-sample_index=contentions"])
      #expect(counts.contains("Type: contentions\n"), "\(counts)")
      for function in Self.waits {
        let count = sum(of: function, in: counts).flatMap { Int($0) } ?? 0
        // A lock that was free again when somebody had been woken for it is waited for once more.
        #expect((1...3).contains(count), "\(function): \(counts)")
      }
      #expect(!counts.contains("sleepMeanwhile"), "\(counts)")
    }

    /// Ten goroutines wait for 20 ms and more for who holds the lock.
    @Test(arguments: ["1", "2", "8"]) func goOpensAProfileOfLocks(processors: String) throws {
      let delays = try top("mutex-profile", processors: processors, ["-unit=ms"])
      #expect(delays.contains("Type: delay\n"), "\(delays)")
      let delay = sum(of: "holdContended", in: delays).flatMap { Double($0.dropLast(2)) } ?? 0
      #expect(delay >= 200, "\(delays)")
    }

    @Test func goOpensAProfileOfCPUTime() throws {
      let folder = FileManager.default.temporaryDirectory.appending(path: "apus-profile-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let file = folder.appending(path: "cpu.pb").path
      let program = try run(product("apus-faults"), ["cpu-profile", file])
      #expect(program.status == 0, "\(program)")
      let result = try run(try #require(goTool), ["tool", "pprof", "-top", file], timeout: .seconds(300))
      #expect(result.status == 0, "\(result)")
      #expect(result.output.contains("Type: cpu\n"), "\(result)")
      // Two goroutines compute, one for three times as long. The fifth column has their share, with what they call.
      let shares = try ["computeLong", "computeShort"].map { name in
        let line = try #require(
          result.output.split(separator: "\n").first { $0.contains(" apus_faults.\(name)()") }, "\(result)")
        return Double(try #require(line.split(separator: " ").dropFirst(4).first).dropLast()) ?? 0
      }
      #expect(shares[0] > 60 && shares[1] > 15, "\(result)")
    }
  }
}
