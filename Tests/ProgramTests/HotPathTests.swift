import Testing

extension Programs {
  /// From the lock under which a goroutine parks to its resumption nothing may allocate, count references or enter
  /// libswiftCore: that would be slow, and could wait for a lock that a stopped goroutine holds. The machine code says so.
  @Suite(.enabled(if: !isDebug, "a debug build is not optimized: its code says nothing"))
  struct HotPath {
    /// Where a caller's symbol is a mangled name, parts of it that no other function has. Private functions have a
    /// discriminator in the middle, specializations something at their end.
    private static let scheduler: [[String]] = [
      ["11ApusRuntime4ParkO4park"], ["11ApusRuntime4ParkO5ready"], ["11ApusRuntime4ParkO5yield"],
      ["11ApusRuntime4ParkO9parkTimed"], ["11ApusRuntime7LatencyO8isChosen"], ["11ApusRuntime7LatencyO4time"],
      ["11ApusRuntime7LatencyO6record"],
      ["11ApusRuntime8ScheduleO4loop"], ["11ApusRuntime8ScheduleO8findNext"],
      ["11ApusRuntime8ScheduleO15leaveWithinTask"],
      ["11ApusRuntime6SwitchO12finishSlowly"],
      ["11ApusRuntime10OwnerQueueV8overflow"], ["11ApusRuntime10OwnerQueueV7putLast"],
      ["11ApusRuntime10ThiefQueueV4grab"], ["11ApusRuntime11GlobalQueueO3put"], ["11ApusRuntime11GlobalQueueO4take"],
      ["11ApusRuntime5SpawnO13finishCurrent"], ["11ApusRuntime5SpawnO7recycle"], ["11ApusRuntime5SpawnO8allocate"],
      ["11ApusRuntime5SpawnO6submit", "SpyAA1GVGFZ"],
      ["11ApusRuntime8SpinningO4wake"], ["11ApusRuntime10StackPoolsV4bind"],
      ["11ApusRuntime10StackPoolsV8takeBack_2on"], ["11ApusRuntime17GoroutineRegistryV6refill"],
      ["11ApusRuntime17GoroutineRegistryV8takeBack"],
    ]

    /// The channel of integers, which the benchmarks use: the specialized code.
    private static let channel: [[String]] = [
      ["4Apus7Channel", "E4send", "Si_Tg"], ["4Apus7Channel", "E7receive", "Si_Tg"],
      ["4Apus7Channel", "E11sendWaiting", "Si_Tg"], ["4Apus7Channel", "E14receiveWaiting", "Si_Tg"],
    ]

    private static let forbidden = [
      "swift_retain", "swift_release", "swift_bridgeObjectRetain", "swift_bridgeObjectRelease", "swift_allocObject",
      "swift_deallocObject", "swift_slowAlloc", "swift_slowDealloc", "swift_once", "swift_beginAccess",
      "swift_endAccess", "swift_getWitnessTable", "swift_getTypeByMangledName", "malloc", "calloc", "free",
      "__tls_get_addr",
    ]

    private static func isForbidden(_ callee: Substring) -> Bool {
      forbidden.contains { callee == $0 || ($0.hasPrefix("swift_") && callee.hasPrefix($0)) }
    }

    @Test func nothingBetweenParkAndResumeAllocatesOrCounts() throws {
      let code = try Disassembly(of: product("apus-bench"))
      for parts in Self.scheduler + Self.channel {
        let functions = code.functions(containing: parts)
        #expect(!functions.isEmpty, "no function contains \(parts)")
        for function in functions {
          #expect(!function.instructions.isEmpty, "\(function.symbol) is empty")
          let bad = function.callees.filter(Self.isForbidden)
          #expect(bad.isEmpty, "\(function.symbol) calls \(bad)")
        }
      }
    }

    /// How often a function of the hot path asks whether a trace is on: its own events, and those of what is inlined into it
    /// (a goroutine that begins gets a stack, and runs).
    private static let traced: [(parts: [String], tests: Int)] = [
      (["11ApusRuntime4ParkO4park_9unlockingy"], 3), (["11ApusRuntime4ParkO4park_12unlockingAlly"], 3),
      (["11ApusRuntime4ParkO5ready_2onySpy"], 1), (["11ApusRuntime4ParkO5yieldyy"], 3),
      (["11ApusRuntime5SpawnO13finishCurrent"], 4), (["11ApusRuntime5SpawnO6submit", "SpyAA1GVGFZ"], 1),
      (["11ApusRuntime8ScheduleO4loop"], 1), (["11ApusRuntime7SyscallO5enter"], 1),
      (["11ApusRuntime7SyscallO4exit"], 1),
    ]

    /// Tracing that is off costs one test an event: a load of the flag, a comparison, a jump.
    @Test func tracingThatIsOffCostsOneTestAnEvent() throws {
      let code = try Disassembly(of: product("apus-bench"))
      for (parts, tests) in Self.traced {
        // Beside the function itself there may be one that only jumps to it.
        let functions = code.functions(containing: parts)
        let instructions = functions.flatMap(\.instructions)
        let loads = instructions.indices.filter { instructions[$0].contains("<apus_trace_flag>") }
        #expect(loads.count == tests, "\(parts)")
        for index in loads {
          let words = instructions[index...].prefix(5).map { $0.split(whereSeparator: \.isWhitespace)[0] }
          #expect(words[0] == "mov" && words[1] == "test", "\(parts): \(words)")
          #expect(words.contains("jne") || words.contains("je"), "\(parts): \(words)")
        }
        // What comes behind the test is not inlined.
        let callees = functions.flatMap(\.callees)
        let traces = callees.filter { $0.hasPrefix("apus_trace_") || $0.contains("11ApusRuntime5TraceO") }
        #expect(traces.count == tests, "\(parts): \(traces)")
      }
    }

    /// Who parks asks once whether waits are profiled, and nobody else on the hot path does.
    @Test func profilingThatIsOffCostsOneTestAWait() throws {
      let code = try Disassembly(of: product("apus-bench"))
      for (parts, _) in Self.traced {
        let instructions = code.functions(containing: parts).flatMap(\.instructions)
        let tests = instructions.filter { $0.contains("<apus_profile_rates") }
        let parks = parts[0].contains("ParkO4park")
        #expect(tests.count == (parks ? 1 : 0), "\(parts): \(tests)")
      }
      for parts in Self.channel {
        let instructions = code.functions(containing: parts).flatMap(\.instructions)
        #expect(!instructions.contains { $0.contains("<apus_profile_rates") }, "\(parts)")
      }
    }

    /// What the test would say if there were such a call: a function of the program that is known to allocate.
    @Test func suchCallsAreSeen() throws {
      let code = try Disassembly(of: product("apus-bench"))
      let making = code.functions(containing: ["4Apus9WaitGroup", "fC"])
      #expect(making.contains { $0.callees.contains { Self.isForbidden($0) } })
      #expect(code.functions(containing: ["no such function"]).isEmpty)
    }
  }
}
