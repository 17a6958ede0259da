#if Tools
  import Foundation
  import Testing

  private func dump(_ program: RunningProgram) throws -> DumpText {
    let result = try command(["dump", "\(program.process)"])
    #expect(result.status == 0 && result.errors == "", "\(result)")
    let dump = DumpText(result.output, hasHeadline: false)
    #expect(dump.faults == [], "\(result)")
    return dump
  }

  extension Programs {
    /// Running programs into which the command looks.
    @Suite struct Attaching {
      @Test(arguments: [1, 2, 8]) func dumpsOneThatSleeps(processors: Int) throws {
        let program = try AttachedProgram.start("sleeps", processors: processors)
        for _ in 0..<3 {
          let dump = try dump(program)
          #expect(dump.goroutines.map(\.status) == ["sleep", "chan receive", "chan receive", "chan receive"])
          #expect(dump.goroutines.first?.calls("sleepLong", "main") == true)
          #expect(dump.goroutines.dropFirst().allSatisfy { $0.calls("receive(_:)") && $0.creator == 1 })
          #expect(!dump.hasRuntimeFrames)
        }
      }

      /// Everybody computes, or takes memory: who stands still may have malloc's lock.
      @Test(arguments: [1, 2, 8], ["computes", "allocates"])
      func dumpsOneThatComputes(processors: Int, scenario: String) throws {
        let program = try AttachedProgram.start(scenario, processors: processors)
        for _ in 0..<3 {
          let dump = try dump(program)
          let busy = dump.goroutines.dropFirst()
          #expect(busy.count == 2 * processors)
          #expect(busy.allSatisfy { ["running", "runnable"].contains($0.status) }, "\(busy.map(\.status))")
          if scenario == "computes" { #expect(busy.allSatisfy { $0.calls("compute") }) }
        }
      }

      @Test(arguments: [1, 2, 8]) func dumpsOneThatWaitsForTheNetwork(processors: Int) throws {
        let program = try AttachedProgram.start("listens", processors: processors)
        for _ in 0..<3 {
          let dump = try dump(program)
          #expect(dump.goroutines.map(\.status) == ["chan receive", "IO wait"])
          #expect(dump.goroutines.last?.calls("accept") == true)
        }
      }

      /// Everybody is in the kernel, in a region that was said to block, perhaps without a processor; and stays there.
      @Test(arguments: [1, 2, 8]) func dumpsOneThatBlocks(processors: Int) throws {
        let program = try AttachedProgram.start("blocks", processors: processors)
        for _ in 0..<3 {
          let dump = try dump(program)
          #expect(dump.goroutines.map(\.status) == ["syscall", "syscall", "syscall", "syscall"])
          #expect(dump.goroutines.dropFirst().allSatisfy { $0.calls("readNothing") && $0.creator == 1 })
          #expect(dump.goroutines.first?.calls("waitForWord", "main") == true)
          #expect(!dump.hasRuntimeFrames)
        }
        try program.sendWord()
        #expect(try program.end() == 7)
      }

      @Test(arguments: [1, 2, 8], ["sleeps", "computes"])
      func answersAHundredTimes(processors: Int, scenario: String) throws {
        let program = try AttachedProgram.start(scenario, processors: processors)
        let count = scenario == "sleeps" ? 4 : 2 * processors + 1
        for _ in 0..<100 {
          let result = try command(["dump", "\(program.process)"])
          #expect(result.status == 0, "\(result)")
          #expect(DumpText(result.output, hasHeadline: false).goroutines.count == count, "\(result)")
          if result.status != 0 { return }
        }
      }

      /// A hundred thousand goroutines, by the command and by SIGQUIT: all of them, and not all of the text at once, which
      /// is 40 MB.
      @Test func dumpsAsManyAsThereAre() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "apus-attach-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(FileManager.default.createFile(atPath: file.path, contents: nil))
        let errors = try FileHandle(forWritingTo: file)
        let program = try AttachedProgram.start("many", errors: errors)
        let before = try program.peakMemory()
        let result = try command(["dump", "\(program.process)"], timeout: .seconds(250))
        #expect(result.status == 0 && result.errors == "", "\(result.errors)")
        #expect(countOfGoroutines(Data(result.output.utf8)) == 100_001)
        let after = try program.peakMemory()
        #expect(after - before < 32 << 10, "\(before) KiB, \(after) KiB")
        kill(program.process, SIGQUIT)
        #expect(try program.end(within: 250) == 2)
        let text = try Data(contentsOf: file)
        #expect(text.starts(with: Data("SIGQUIT: quit\n".utf8)))
        #expect(countOfGoroutines(text) == 100_001)
      }

      /// How many lines begin as a goroutine does.
      private func countOfGoroutines(_ text: Data) -> Int {
        let beginning = Data("goroutine ".utf8)
        var (count, start) = (0, text.startIndex)
        while start < text.endIndex {
          if text[start...].starts(with: beginning) { count += 1 }
          start = text[start...].firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? text.endIndex
        }
        return count
      }

      static let subcommands = ["dump", "top", "trace"]

      @Test(arguments: subcommands) func namesWhatIsNoProcess(subcommand: String) throws {
        // No process has a number above this limit.
        let limit = try String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8)
        let none = (Int(limit.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) + 1
        for number in [none, 0] {
          let result = try command([subcommand, "\(number)"])
          #expect(result.status == 1 && result.output == "", "\(result)")
          #expect(result.errors == "Error: there is no process \(number)\n", "\(result)")
        }
      }

      /// What was kept of an earlier trace is emptied only for a new one.
      @Test func keepsAnOlderTraceWhereNobodyIsTraced() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "apus-attach-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("older".utf8).write(to: file)
        let result = try command(["trace", "0", "--output", file.path])
        #expect(result.status == 1 && result.errors == "Error: there is no process 0\n", "\(result)")
        #expect(try String(contentsOf: file, encoding: .utf8) == "older")
      }

      /// A process that is none of Apus is sent nothing: this one would die of any signal but those that are ignored.
      @Test(arguments: subcommands) func leavesOthersAlone(subcommand: String) throws {
        let other = try RunningProgram(
          "/bin/sh", ["-c", "trap 'exit 9' URG; echo ready; while :; do sleep 0.01; done"],
          environment: inheritedEnvironment())
        #expect(other.firstOutput() == "ready\n")
        let result = try command([subcommand, "\(other.process)"])
        #expect(result.status == 1 && result.output == "", "\(result)")
        #expect(
          result.errors == "Error: process \(other.process) is no running program of Apus\n", "\(result)")
        kill(other.process, SIGTERM)
        #expect(try other.end() == -SIGTERM)
      }

      /// Nor is there a word of what it is: this one is none of Apus.
      @Test(arguments: subcommands) func asksNobodyElsesProcess(subcommand: String) throws {
        let result: ProgramResult
        var process: pid_t = 1
        if geteuid() == 0 {
          let other = try RunningProgram(
            "/bin/sh", ["-c", "echo ready; read word"], environment: inheritedEnvironment())
          #expect(other.firstOutput() == "ready\n")
          process = other.process
          result = try run(
            product("apus-attached"), ["as-nobody", product("apus"), subcommand, "\(process)"],
            environment: inheritedEnvironment())
          if result.status == 125 { try Test.cancel("root may not become another user here") }
          // Where nobody may not run what lies in a folder that is closed to all.
          if [126, 127].contains(result.status) { try Test.cancel("another user may not run the command here") }
          try other.sendWord()
        } else {
          let owner = try FileManager.default.attributesOfItem(atPath: "/proc/1")[.ownerAccountID] as? uid_t
          if owner == geteuid() { try Test.cancel("process 1 is this user's") }
          result = try command([subcommand, "1"])
        }
        #expect(result.status == 1 && result.output == "", "\(result)")
        #expect(result.errors == "Error: process \(process) belongs to another user\n", "\(result)")
      }

      /// What listens at the name that root has been told may be another user's.
      @Test func tellsNobodyElseWhatItDoes() throws {
        let program = try AttachedProgram.start("sleeps")
        for (scenario, answer) in [("asks", "greeted\n"), ("asks-as-nobody", "not greeted\n")] {
          let result = try run(
            product("apus-attached"), [scenario, "\(program.process)"], environment: inheritedEnvironment())
          if result.status == 125 { try Test.cancel("this user may not become another") }
          #expect(result.status == 0 && result.output == answer, "\(result)")
        }
      }

      @Test func canBeSwitchedOff() throws {
        let program = try AttachedProgram.start("sleeps", ["GODEBUG": "attach=0"])
        let result = try command(["dump", "\(program.process)"])
        #expect(result.status == 1, "\(result)")
        #expect(
          result.errors
            == "Error: process \(program.process) takes no requests: it runs with GODEBUG=attach=0\n",
          "\(result)")
      }

      @Test func doesNotWaitForEver() throws {
        let program = try AttachedProgram.start("sleeps")
        kill(program.process, SIGSTOP)
        let result = try command(["dump", "\(program.process)", "--timeout", "0.3"])
        #expect(result.status == 1, "\(result)")
        #expect(
          result.errors
            == "Error: process \(program.process) does not answer: it was stopped, by a signal or a debugger\n",
          "\(result)")
        kill(program.process, SIGCONT)
        #expect(try dump(program).goroutines.count == 4)
      }
    }
  }
#endif
