import Glibc
import Testing

extension Programs {
  /// The harness itself, with the system's shell as the program.
  @Suite struct ChildProcesses {
    private func shell(_ script: String, input: String = "", timeout: Duration = .seconds(20)) throws -> ProgramResult {
      try run("/bin/sh", ["-c", script], input: input, timeout: timeout)
    }

    @Test func streamsAndStatusAreKeptApart() throws {
      let result = try shell("cat; echo warning >&2; exit 3", input: "text\n")
      #expect(result.status == 3 && result.signal == nil && !result.timedOut)
      #expect(result.output == "text\n")
      #expect(result.errors == "warning\n")
    }

    @Test func aSignalIsNoStatus() throws {
      let result = try shell("kill -SEGV $$")
      #expect(result.status == nil && result.signal == SIGSEGV)
    }

    @Test func muchOutputOnBothStreamsDoesNotBlock() throws {
      let result = try shell("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero")
      #expect(result.output.utf8.count == 3_000_000 && result.errors.utf8.count == 3_000_000)
    }

    @Test func theTimeLimitKillsTheWholeGroup() throws {
      let result = try shell("sleep 60 & sleep 60", timeout: .milliseconds(100))
      #expect(result.timedOut && result.signal == SIGKILL)
      #expect(result.elapsed < .seconds(10))
    }

    @Test func aMissingProgramThrows() {
      #expect(throws: HarnessError.self) { try run("/nonexistent/program") }
    }
  }
}
