#if Tools
  import Foundation
  import Testing

  /// `apus top` of a program, again and again: it has shown a picture, and stays attached.
  private func top(_ program: RunningProgram) throws -> RunningProgram {
    let top = try RunningProgram(
      product("apus"), ["top", "\(program.process)", "--interval", "0.05"], environment: inheritedEnvironment())
    #expect(top.firstOutput().contains("goroutines"))
    return top
  }

  /// Waits until the program's threads of the session are gone.
  private func waitForEndOfSession(_ program: RunningProgram) throws -> Bool {
    let end = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < end {
      if try Set(program.threads()).isDisjoint(with: ["apus-attach", "apus-trace"]) { return true }
      usleep(1000)
    }
    return false
  }

  extension Programs {
    /// Commands that stay attached for a while.
    @Suite struct AttachedSessions {
      @Test(arguments: [1, 2, 8], ["sleeps", "computes", "allocates", "listens"])
      func topShowsWhatTheyDo(processors: Int, scenario: String) throws {
        let program = try AttachedProgram.start(scenario, processors: processors)
        let result = try command(["top", "\(program.process)", "--count", "3", "--interval", "0.05"])
        #expect(result.status == 0 && result.errors == "", "\(result)")
        let pictures = result.output.components(separatedBy: "\n\n")
        // Each is a head and two tables.
        #expect(pictures.count == 9, "\(result)")
        #expect(result.output.components(separatedBy: "\n\(processors) processors, ").count == 4, "\(result)")
        let count = ["sleeps": 4, "listens": 2][scenario] ?? 2 * processors + 1
        #expect(result.output.hasPrefix("\(count) goroutines: "), "\(result)")
        #expect(result.output.contains("P\(processors - 1) "), "\(result)")
        #expect(try result.output.contains(Regex("preemptions [0-9]+/s")), "\(result)")
        let row = ["sleeps": "3  chan receive  apus_attached_main", "listens": "1  IO wait       apus_attached_main"]
        if let row = row[scenario] { #expect(result.output.contains(row), "\(result)") }
        if scenario == "computes" {
          #expect(result.output.contains("apus_attached.keepBusy"), "\(result)")
        }
      }

      @Test func topShowsOnePicture() throws {
        let program = try AttachedProgram.start("sleeps")
        let result = try command(["top", "\(program.process)", "--once"])
        #expect(result.status == 0, "\(result)")
        #expect(result.output.hasPrefix("4 goroutines: 3 chan receive, 1 sleep\n"), "\(result)")
        #expect(!result.output.contains("\u{1b}"), "\(result)")
      }

      /// Of so many times that somebody had to be scheduled, hundreds are samples.
      @Test(arguments: [1, 2, 8]) func topShowsHowLongTheyWereReady(processors: Int) throws {
        let program = try AttachedProgram.start("yields", processors: processors)
        let result = try command(["top", "\(program.process)", "--once"])
        #expect(result.status == 0, "\(result)")
        let line = result.output.firstMatch(
          of: /\nscheduling latency, ([0-9]+) samples: 50 % < [0-9.]+ .?s, 99 % < [0-9.]+ .?s, all < [0-9.]+ .?s\n/)
        #expect(line.flatMap { Int($0.1) } ?? 0 >= 100, "\(result)")
      }

      /// One command at a time; the next one as soon as it has gone, even if it was killed.
      @Test(arguments: [1, 2, 8], ["sleeps", "computes"])
      func refusesASecondCommand(processors: Int, scenario: String) throws {
        let program = try AttachedProgram.start(scenario, processors: processors)
        var first: RunningProgram? = try top(program)
        let refused = try command(["dump", "\(program.process)"])
        #expect(refused.status == 1, "\(refused)")
        #expect(
          refused.errors
            == "Error: process \(program.process) refuses: another command is attached to it\n", "\(refused)")
        // Kills it.
        first = nil
        #expect(first == nil)
        #expect(try waitForEndOfSession(program))
        let result = try command(["dump", "\(program.process)"])
        #expect(result.status == 0, "\(result)")
      }

      /// A program in which nobody can go on any more ends as it would have, beside a command that is attached.
      @Test(arguments: [1, 2, 8]) func hidesNoDeadlock(processors: Int) throws {
        let errors = Pipe()
        let program = try AttachedProgram.start(
          "deadlocks", processors: processors, errors: errors.fileHandleForWriting)
        try errors.fileHandleForWriting.close()
        let top = try top(program)
        try program.sendWord()
        #expect(try program.end() == 2)
        let text = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        #expect(text.hasPrefix("fatal error: all goroutines are asleep - deadlock!\n"), "\(text)")
        #expect(try top.end() == 1)
      }

      @Test(arguments: [1, 2, 8]) func keepsNoProgramFromItsEnd(processors: Int) throws {
        let program = try AttachedProgram.start("exits", processors: processors)
        let top = try top(program)
        try program.sendWord()
        #expect(try program.end() == 7)
        #expect(try top.end() == 1)
      }

      @Test(arguments: [1, 2, 8], ["sleeps", "computes", "allocates", "listens"])
      func tracesForAWhile(processors: Int, scenario: String) throws {
        let program = try AttachedProgram.start(scenario, processors: processors)
        // Twice: the second finds nothing of the first.
        for _ in 0..<2 {
          let result = try command(["trace", "\(program.process)", "--seconds", "0.1"])
          #expect(result.status == 0 && result.errors == "", "\(result)")
          let head = result.output.firstMatch(of: /events, ([0-9]+) goroutines, ([0-9]+) processors/)
          // The runtime's own are in a trace, too.
          let count = ["sleeps": 4, "listens": 2][scenario] ?? 2 * processors + 1
          #expect(head.flatMap { Int($0.1) } ?? 0 >= count, "\(result)")
          #expect(head.flatMap { Int($0.2) } == processors, "\(result)")
          if scenario == "computes" {
            #expect(
              try result.output.contains(Regex("\n +\(2 * processors)  .* apus_attached\\.")),
              "\(result)")
          }
        }
        #expect(try command(["dump", "\(program.process)"]).status == 0)
      }

      @Test func keepsATraceAndDrawsIt() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "apus-attach-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (trace, page) = (folder.appending(path: "trace").path, folder.appending(path: "page.html").path)
        let program = try AttachedProgram.start("computes")
        let live = try command(
          ["trace", "\(program.process)", "--seconds", "0.1", "--output", trace, "--html", page])
        #expect(live.status == 0, "\(live)")
        #expect(try String(contentsOfFile: page, encoding: .utf8).contains("process \(program.process)"))
        let later = try command(["trace", trace])
        #expect(later.output == live.output, "\(later)")
      }

      /// A trace whose command is killed ends; the program can be traced again.
      @Test(arguments: [1, 2, 8]) func endsATraceThatNobodyWants(processors: Int) throws {
        let program = try AttachedProgram.start("computes", processors: processors)
        var tracer: RunningProgram? = try RunningProgram(
          product("apus"), ["trace", "\(program.process)", "--seconds", "1000"], environment: inheritedEnvironment())
        while try !program.threads().contains("apus-trace") { usleep(1000) }
        tracer = nil
        #expect(tracer == nil)
        #expect(try waitForEndOfSession(program))
        let result = try command(["trace", "\(program.process)", "--seconds", "0.05"])
        #expect(result.status == 0, "\(result)")
      }

      /// `exit` completes the trace; a program that is killed does not.
      @Test(arguments: [1, 2, 8]) func exitsBesideATrace(processors: Int) throws {
        let program = try AttachedProgram.start("exits", processors: processors)
        let tracer = try RunningProgram(
          product("apus"), ["trace", "\(program.process)", "--seconds", "1000"], environment: inheritedEnvironment())
        while try !program.threads().contains("apus-trace") { usleep(1000) }
        try program.sendWord()
        #expect(try program.end() == 7)
        #expect(try tracer.end() == 0)
      }

      @Test(arguments: [1, 2, 8]) func isNotKeptByOneThatIsKilled(processors: Int) throws {
        let program = try AttachedProgram.start("computes", processors: processors)
        let tracer = try RunningProgram(
          product("apus"), ["trace", "\(program.process)", "--seconds", "1000"], environment: inheritedEnvironment())
        while try !program.threads().contains("apus-trace") { usleep(1000) }
        kill(program.process, SIGKILL)
        #expect(try program.end() == -SIGKILL)
        #expect(try tracer.end() == 1)
      }

      @Test func tracesNobodyWhoIsTraced() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "apus-attach-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        let program = try AttachedProgram.start("sleeps", ["APUS_TRACE": file.path])
        let result = try command(["trace", "\(program.process)", "--seconds", "0.1"])
        #expect(result.status == 1, "\(result)")
        #expect(
          result.errors
            == "Error: process \(program.process) refuses: another trace is being written\n", "\(result)")
        #expect(try command(["dump", "\(program.process)"]).status == 0)
      }
    }
  }
#endif
