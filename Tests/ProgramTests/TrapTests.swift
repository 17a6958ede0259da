import Foundation
import Glibc
import Testing

/// Runs `apus-traps KIND PLACE COUNT`.
private func trap(
  _ kind: String, in place: String, others count: Int = 0, _ environment: [String: String] = [:],
  timeout: Duration = .seconds(30)
) throws -> ProgramResult {
  try run(
    product("apus-traps"), [kind, place, "\(count)"], environment: inheritedEnvironment(environment), timeout: timeout)
}

extension ProgramResult {
  /// The report, without what Swift's runtime has written before it.
  fileprivate var report: DumpText {
    let lines = errors.split(separator: "\n", omittingEmptySubsequences: false)
    let start =
      lines.firstIndex {
        $0.hasPrefix("panic: ") || $0.hasPrefix("fatal error: ") || $0.hasPrefix("unexpected fault address")
      } ?? lines.endIndex
    return DumpText(lines[start...].joined(separator: "\n"), hasHeadline: true)
  }
}

extension Programs {
  /// Traps: the report says why and where, the process ends with status 2 and leaves nothing behind.
  @Suite struct Traps {
    struct Kind: CustomTestStringConvertible, Sendable {
      var name: String
      /// The headline, or the end of it where a debug build has words of the standard library before it and a release
      /// build those of the compiler.
      var headline: String
      var details: String?
      var testDescription: String { name }

      init(_ name: String, _ headline: String, _ details: String? = nil) {
        self.name = name
        self.headline = headline
        self.details = details
      }
    }

    private static let memory =
      #"\[signal SIGSEGV: segmentation violation code=0x[0-9a-f]+ addr=0x[0-9a-f]+ pc=0x[0-9a-f]+\]"#
    private static let failedPrecondition =
      isDebug ? "panic: Precondition failed: one is not two" : "panic: Swift runtime failure: precondition failure"
    private static let failedTry =
      #"panic: Fatal error: 'try!' expression unexpectedly raised an error: apus_traps\.Failure\(\)"#

    static let kinds: [Kind] = [
      Kind("index", "panic: .*Index out of range"),
      Kind("nil", "panic: .*[Uu]nexpectedly found nil while unwrapping an Optional value"),
      Kind("overflow", "panic: Swift runtime failure: arithmetic overflow"),
      Kind("division", "panic: .*[Dd]ivision by zero"),
      Kind("conversion", "panic: .*Not enough bits to represent the passed value"),
      Kind("fatal", "panic: Fatal error: out of seed", "\tand of nuts"),
      Kind("precondition", failedPrecondition),
      Kind("force-try", failedTry),
      Kind("cast", #"panic: Could not cast value of type 'apus_traps\.Bird' .* to 'apus_traps\.Finch' .*"#),
      Kind("cast-any", #"panic: Could not cast value of type 'Swift\.Int' .* to 'Swift\.String' .*"#),
      Kind("access", "panic: Fatal access conflict detected."),
      Kind("null", "panic: invalid memory address or nil pointer dereference", memory),
      Kind("call-null", "panic: invalid memory address or nil pointer dereference", memory),
      Kind("unmapped", "unexpected fault address 0x10000000", "fatal error: fault\n" + memory),
      Kind("wild", "unexpected fault address 0x0", "fatal error: fault\n" + memory),
      Kind(
        "bus", "unexpected fault address 0x[0-9a-f]+", #"fatal error: fault\n\[signal SIGBUS: bus error code=0x2 .*\]"#),
      Kind("fpe", "panic: integer divide by zero", #"\[signal SIGFPE: floating-point exception code=0x1 .*\]"#),
      Kind("abort", "panic: abort", #"\[signal SIGABRT: abort code=-6 .*\]"#),
      Kind("raise", "panic: illegal instruction", #"\[signal SIGILL: illegal instruction code=-6 .*\]"#),
      Kind("close", "panic: close of closed channel"),
    ]

    @Test(arguments: kinds, ["main", "goroutine"])
    func isReported(kind: Kind, place: String) throws {
      let result = try trap(kind.name, in: place, others: 1000)
      #expect(result.status == 2, "\(result)")
      #expect(result.output == "", "\(result)")
      #expect(!result.leftProcesses, "\(result)")
      let report = result.report
      #expect(report.headline?.wholeMatch(of: try Regex(kind.headline)) != nil, "\(result)")
      let details = report.details.joined(separator: "\n")
      #expect(details.wholeMatch(of: try Regex(kind.details ?? "")) != nil, "\(result)")
      #expect(report.faults == [], "\(result)")
      #expect(report.goroutines.count == 1, "\(result)")
      let goroutine = try #require(report.goroutines.first)
      #expect(goroutine.status == "running", "\(result)")
      #expect((goroutine.id == 1) == (place == "main"), "\(result)")
      let index = try #require(goroutine.functions.firstIndex { $0.contains("trap(of:)") }, "\(result)")
      #expect(goroutine.places[index].contains("/Tests/Programs/traps/Kinds.swift:"), "\(result)")
      if place == "goroutine" {
        #expect(goroutine.creator == 1, "\(result)")
        #expect(goroutine.creation?.place.contains("/Tests/Programs/traps/main.swift:") == true, "\(result)")
      }
      // Swift's own report would have such a section.
      #expect(!result.errors.contains("Registers:"), "\(result)")
    }

    @Test func anInlinedFunctionIsShown() throws {
      let result = try trap("inlined", in: "goroutine")
      let goroutine = try #require(result.report.goroutines.first, "\(result)")
      let index = try #require(goroutine.functions.firstIndex(of: "apus_traps.addOne(_:)"), "\(result)")
      try #require(index + 1 < goroutine.functions.count, "\(result)")
      #expect(goroutine.functions[index + 1] == "apus_traps.trap(of:)", "\(result)")
      for place in goroutine.places[index...index + 1] { #expect(place.contains("/Kinds.swift:"), "\(result)") }
    }

    @Test(arguments: ["index", "cast", "null", "fpe", "abort"], ["thread", "known-thread"])
    func isReportedOnAForeignThread(kind: String, place: String) throws {
      let result = try trap(kind, in: place, others: 1000)
      #expect(result.status == 2, "\(result)")
      #expect(!result.leftProcesses, "\(result)")
      #expect(result.errors.contains("panic: "), "\(result)")
      #expect(result.errors.contains(/\n\nthread [0-9]+ \[running\]:\n/), "\(result)")
      #expect(result.errors.contains("trap(of:)"), "\(result)")
    }

    @Test(arguments: ["overflow", "null"])
    func isTheRuntimesFaultOnItsOwnStack(kind: String) throws {
      let result = try trap(kind, in: "scheduler", others: 10)
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("fatal error: "), "\(result)")
      #expect(result.errors.contains("\n\nruntime stack:\n"), "\(result)")
      #expect(result.errors.contains("trap(of:)"), "\(result)")
      // Everybody is shown.
      #expect(result.errors.matches(of: /\ngoroutine [0-9]+ \[chan receive\]:\n/).count == 11, "\(result)")
    }

    /// What the runtime does in a section is not the program's to fail in.
    @Test(arguments: ["overflow", "null"])
    func isTheRuntimesFaultInASection(kind: String) throws {
      let result = try trap(kind, in: "section", others: 10)
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("fatal error: "), "\(result)")
      #expect(result.report.faults == [], "\(result)")
      #expect(result.report.goroutines.first?.calls("trap(of:)") == true, "\(result)")
      #expect(result.report.goroutines.filter { $0.status == "chan receive" }.count == 10, "\(result)")
    }

    /// Who is stopped is let go, and gives back what the report needs: names are readable.
    @Test(arguments: ["1", "2", "8"], ["single", "all"])
    func aStoppedGoroutineHoldsMallocsLock(processors: String, level: String) throws {
      let result = try trap(
        "overflow", in: "held-malloc", others: 10, ["GOMAXPROCS": processors, "GOTRACEBACK": level])
      #expect(result.status == 2, "\(result)")
      let report = result.report
      #expect(report.headline == "panic: Swift runtime failure: arithmetic overflow", "\(result)")
      #expect(report.faults == [], "\(result)")
      #expect(report.goroutines.first?.functions.first == "apus_traps.trap(of:)", "\(result)")
      #expect(report.goroutines.count == (level == "all" ? 12 : 1), "\(result)")
      #expect(result.elapsed < .seconds(5), "\(result)")
    }

    /// What was loaded at the start is known without the dynamic linker, whose lock may never be free.
    @Test func aThreadHoldsTheDynamicLinkersLock() throws {
      let result = try trap("overflow", in: "held-loader", others: 10, ["GOTRACEBACK": "all"])
      #expect(result.status == 2, "\(result)")
      let report = result.report
      #expect(report.headline == "panic: Swift runtime failure: arithmetic overflow", "\(result)")
      #expect(report.faults == [], "\(result)")
      #expect(report.goroutines.first?.functions.first == "apus_traps.trap(of:)", "\(result)")
      #expect(report.goroutines.count == 12, "\(result)")
    }

    /// A thread that is asked for its frames faults over them: they are missing, and everybody else's are there, found by
    /// frame pointers where there are no tables.
    @Test func aStackThatMisleadsCostsItsOwnFrames() throws {
      let result = try trap("overflow", in: "misled", others: 10, ["GOMAXPROCS": "5", "GOTRACEBACK": "all"])
      #expect(result.status == 2, "\(result)")
      let report = result.report
      #expect(report.faults == [], "\(result)")
      #expect(report.goroutines.count == 14, "\(result)")
      let running = report.goroutines.filter { $0.status == "running" }
      #expect(running.count == 4, "\(result)")
      #expect(running.filter { $0.functions.isEmpty }.count == 1, "\(result)")
      #expect(running.contains { $0.calls("trap_compute") }, "\(result)")
      #expect(running.contains { $0.calls("trap_without_tables", "closure") }, "\(result)")
    }

    /// Time that passes while the reporter has no CPU is not counted against it.
    @Test func aReportThatWasHeldUpGoesOn() throws {
      let file = NSTemporaryDirectory() + "apus-report-\(UUID().uuidString)"
      defer { try? FileManager.default.removeItem(atPath: file) }
      let script = """
        "$0" overflow goroutine 20000 2>"$1" & child=$!
        while [ ! -s "$1" ]; do :; done
        kill -STOP $child; sleep 6; kill -CONT $child
        wait $child; echo $?
        """
      let result = try run(
        "/bin/sh", ["-c", script, product("apus-traps"), file],
        environment: inheritedEnvironment(["GOTRACEBACK": "all"]))
      #expect(result.output == "2\n", "\(result)")
      let report = DumpText(try String(contentsOfFile: file, encoding: .utf8), hasHeadline: true)
      #expect(report.headline == "panic: Swift runtime failure: arithmetic overflow")
      #expect(report.faults == [])
      #expect(report.goroutines.count == 20_002)
      #expect(report.goroutines.first?.functions.first == "apus_traps.trap(of:)")
    }

    /// A report that waits for ever, here for somebody to read it, ends the process after five seconds.
    @Test func aReportThatHangsEnds() throws {
      var ends: [Int32] = [0, 0]
      try #require(pipe(&ends) == 0)
      let null = open("/dev/null", O_RDWR)
      for descriptor in ends + [null] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
      defer { for descriptor in ends + [null] { close(descriptor) } }
      let start = ContinuousClock.now
      let child = try spawn(
        product("apus-traps"), ["overflow", "goroutine", "5000"], inheritedEnvironment(["GOTRACEBACK": "all"]),
        streams: [null, null, ends[1]])
      var status: Int32 = 0
      while waitpid(child, &status, WNOHANG) == 0 {
        if ContinuousClock.now - start > .seconds(30) { kill(child, SIGKILL) }
        usleep(10_000)
      }
      #expect(status == 2 << 8)
      #expect(ContinuousClock.now - start > .seconds(4))
    }

    @Test(arguments: ["overflow", "null"], ["1", "2", "8"])
    func aTrapComesWhileTheWorldIsStopped(kind: String, processors: String) throws {
      for _ in 0..<5 {
        let result = try trap(kind, in: "stopping", others: 10, ["GOMAXPROCS": processors, "GOTRACEBACK": "all"])
        #expect(result.status == 2, "\(result)")
        #expect(result.errorLines.filter { $0.hasPrefix("panic: ") }.count == 1, "\(result)")
        #expect(result.report.goroutines.first?.functions.first == "apus_traps.trap(of:)", "\(result)")
        #expect(result.elapsed < .seconds(10), "\(result)")
      }
    }

    @Test(arguments: ["index", "cast", "null"], ["1", "2", "8"])
    func oneOfManyIsReported(kind: String, processors: String) throws {
      for _ in 0..<5 {
        let result = try trap(kind, in: "many", others: 100, ["GOMAXPROCS": processors])
        #expect(result.status == 2, "\(result)")
        #expect(result.errorLines.filter { $0.hasPrefix("panic: ") }.count == 1, "\(result)")
      }
    }

    @Test(arguments: ["index", "fatal", "overflow", "cast", "null", "call-null", "fpe", "raise", "close"])
    func anIsolatedCallCatches(kind: String) throws {
      let result = try trap(kind, in: "isolated", others: 10)
      #expect(result.status == 0, "\(result)")
      #expect(result.output.hasPrefix("caught: "), "\(result)")
      #expect(!result.errors.contains("goroutine "), "\(result)")
    }

    /// Half of what the runtime does in a section would be done.
    @Test(arguments: ["overflow", "null"])
    func anIsolatedCallDoesNotCatchInASection(kind: String) throws {
      let result = try trap(kind, in: "isolated-section", others: 10)
      #expect(result.status == 2, "\(result)")
      #expect(result.output == "", "\(result)")
      #expect(result.errors.contains("fatal error: "), "\(result)")
    }

    /// After these the program may not go on.
    @Test(arguments: ["abort", "wild", "unmapped", "bus", "stack", "handler"])
    func anIsolatedCallDoesNotCatch(kind: String) throws {
      let result = try trap(kind, in: "isolated", others: 10)
      #expect(result.status == 2, "\(result)")
      #expect(result.output == "", "\(result)")
      #expect(result.errors.contains("\n\ngoroutine 1 [running]:\n"), "\(result)")
    }

    /// The report is the end, even if `main` returns before it is whole.
    @Test(arguments: ["overflow", "null"])
    func mainsReturnWaitsForTheReport(kind: String) throws {
      for _ in 0..<20 {
        let result = try trap(kind, in: "main-returns")
        #expect(result.status == 2, "\(result)")
      }
    }

    @Test func tracebackNoneIsTheHeadline() throws {
      let result = try trap("null", in: "goroutine", others: 10, ["GOTRACEBACK": "none"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.count == 2, "\(result)")
    }

    @Test func tracebackAllShowsEverybody() throws {
      let result = try trap("overflow", in: "goroutine", others: 1000, ["GOTRACEBACK": "all"])
      #expect(result.status == 2, "\(result)")
      #expect(result.report.faults == [], "\(result)")
      #expect(result.report.goroutines.count == 1002, "\(result)")
    }

    @Test(arguments: ["overflow", "cast", "null"])
    func tracebackCrashEndsBySIGABRT(kind: String) throws {
      let result = try trap(kind, in: "goroutine", others: 10, ["GOTRACEBACK": "crash"])
      #expect(result.signal == 6, "\(result)")
      #expect(result.errors.contains("apus_goroutine_main"), "\(result)")
    }

    /// Whoever failed holds malloc's lock, or has destroyed its heap: names cannot be made readable. In a debug build the
    /// debug information cannot be read, either.
    @Test(arguments: ["blocked-malloc", "broken-malloc"])
    func isReportedWithoutMalloc(kind: String) throws {
      let result = try trap(kind, in: "goroutine", others: 10)
      #expect(result.status == 2, "\(result)")
      let report = result.report
      #expect(report.headline?.hasPrefix("panic: ") == true, "\(result)")
      #expect(report.faults == [], "\(result)")
      let goroutine = try #require(report.goroutines.first, "\(result)")
      #expect(goroutine.creator == 1, "\(result)")
      if isDebug {
        #expect(goroutine.places.first?.hasPrefix("apus-traps+0x") == true, "\(result)")
      } else {
        #expect(report.headline == "panic: Swift runtime failure: arithmetic overflow", "\(result)")
        #expect(goroutine.functions.first == "$s10apus_traps4trap2ofySS_tF(...)", "\(result)")
        #expect(goroutine.places.first?.contains("/Kinds.swift:") == true, "\(result)")
      }
      #expect(result.elapsed < .seconds(10), "\(result)")
    }
  }
}
