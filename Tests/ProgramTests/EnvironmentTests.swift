import Foundation
import Testing

extension Programs {
  /// The variables that the runtime reads at its start, with good and bad values.
  @Suite struct Environment {
    private func hello(_ changes: [String: String]) throws -> ProgramResult {
      let result = try run(product("hello"), environment: inheritedEnvironment(changes))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == (try expectedOutput(ofExample: "hello")), "\(result)")
      return result
    }

    /// A bad value costs one line that names the variable, and nothing else.
    private func expectOneComplaint(_ result: ProgramResult, naming name: String) {
      #expect(result.errorLines.count == 1, "\(result)")
      #expect(result.errors.contains(name), "\(result)")
    }

    @Test(arguments: ["1", "2", "8"])
    func goodProcessorCountsAreTaken(value: String) throws {
      #expect(try hello(["GOMAXPROCS": value]).errors == "")
    }

    @Test(arguments: ["abc", "-1", "0", "99999", "2x", "99999999999999999999"])
    func badProcessorCountsAreReported(value: String) throws {
      expectOneComplaint(try hello(["GOMAXPROCS": value]), naming: "GOMAXPROCS")
    }

    /// Else whoever may call such a program could have any file overwritten that it may write.
    @Test(
      .enabled(if: geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv"), "needs root"))
    func aProgramWithMoreRightsThanItsCallerWritesNoTrace() throws {
      let path = NSTemporaryDirectory() + "apus-secure-\(getpid()).trace"
      defer { try? FileManager.default.removeItem(atPath: path) }
      let environment = inheritedEnvironment(["APUS_TRACE": path])
      // With another real user than the effective one the kernel says so (AT_SECURE).
      let result = try run(
        "/usr/bin/setpriv", ["--ruid", "65534", "--clear-groups", product("hello")], environment: environment)
      #expect(result.output == (try expectedOutput(ofExample: "hello")), "\(result)")
      #expect(!FileManager.default.fileExists(atPath: path))
      _ = try run(product("hello"), environment: environment)
      #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test func unknownDebugKeysAreReportedOnce() throws {
      expectOneComplaint(try hello(["GODEBUG": "nosuchkey=1,nosuchkey=2"]), naming: "nosuchkey")
    }

    @Test(arguments: ["1", "0", "-5", "lots", "64q"])
    func badStackSizesAreReported(value: String) throws {
      expectOneComplaint(try hello(["APUS_STACK": value]), naming: "APUS_STACK")
    }

    @Test(arguments: ["1048576", "512k", "1m"])
    func goodStackSizesAreTaken(value: String) throws {
      #expect(try hello(["APUS_STACK": value]).errors == "")
    }

    @Test(arguments: ["60", "0s", "-1s", "25h", "soon"])
    func badTimesOfShelvingAreReported(value: String) throws {
      expectOneComplaint(try hello(["APUS_SHELVE": value]), naming: "APUS_SHELVE")
    }

    @Test func bootTraceShowsEveryStepInOrder() throws {
      let result = try hello(["GODEBUG": "boottrace=1"])
      let steps = result.errorLines.compactMap { BootStep($0) }
      #expect(steps.count == result.errorLines.count, "\(result)")
      #expect(steps.map(\.ordinal) == Array(1...max(1, steps.count)), "\(result)")
      #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.nanoseconds <= $1.nanoseconds }, "\(result)")

      var rest = steps[...]
      for name in BootStep.expectedNames {
        guard let index = rest.firstIndex(where: { $0.names.contains(name) }) else {
          Issue.record("\(name) is missing, or out of order: \(result)")
          continue
        }
        rest = rest[index...]
      }
    }
  }
}

/// A line of the boot trace: ordinal, name, nanoseconds since the entry point, and what the step found.
private struct BootStep {
  var ordinal: Int
  /// Mostly one; a step that Go does in several functions can have all their names.
  var names: [Substring]
  var nanoseconds: Int

  init?(_ line: Substring) {
    guard let match = line.prefixMatch(of: #/ *([0-9]+) +(.+?) +([0-9]+) ns/#) else { return nil }
    guard let ordinal = Int(match.1), let nanoseconds = Int(match.3) else { return nil }
    self.ordinal = ordinal
    self.names = match.2.split { $0 == "," || $0 == " " }
    self.nanoseconds = nanoseconds
  }

  /// The steps from the entry point to `main`, by the names of Go's runtime.
  static let expectedNames: [Substring] = [
    "_rt0_amd64_linux", "rt0_go", "stackguard", "cpuinfo", "settls", "check", "args", "sysargs",
    "vdso_init_from_sysinfo_ehdr", "vdso_parse_symbols", "osinit", "getproccount", "schedinit", "tracebackinit",
    "moduledataverify", "stackinit", "mallocinit", "mcommoninit", "alginit", "typelinksinit", "itabsinit", "msigsave",
    "goargs", "goenvs", "parsedebugvars", "gcinit", "procresize", "newproc", "newproc1", "mstart", "mstart1", "minit",
    "schedule", "execute",
    "gogo", "main", "sysmon", "forcegchelper", "gcenable", "main_init", "main_main", "exit",
  ]
}
