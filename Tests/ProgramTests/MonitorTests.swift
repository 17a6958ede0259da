import Foundation
import Glibc
import Testing

/// Runs a scenario with so many processors.
private func monitor(
  _ arguments: [String], processors: Int, _ changes: [String: String] = [:], timeout: Duration = .seconds(60)
) throws -> ProgramResult {
  let environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"].merging(changes) { $1 })
  return try run(product("apus-monitor"), arguments, environment: environment, timeout: timeout)
}

extension Programs {
  /// Nobody can hold a processor: programs whose goroutines compute for ever or sleep in the kernel.
  @Suite struct Monitor {
    /// The numbers in a line of output.
    private func numbers(_ result: ProgramResult) -> [Int] {
      result.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    }

    /// The numbers that a scenario prints, which are so many.
    private func numbers(
      _ count: Int, of arguments: [String], processors: Int, timeout: Duration = .seconds(60)
    ) throws -> [Int] {
      let result = try monitor(arguments, processors: processors, timeout: timeout)
      #expect(result.status == 0, "\(result)")
      let numbers = numbers(result)
      try #require(numbers.count == count, "\(result)")
      return numbers
    }

    @Test(arguments: ["leaf", "array", "division"])
    func mainGoesOnBesideAGoroutineThatComputes(example: String) throws {
      let result = try run(product("busy"), [example], timeout: .seconds(30))
      #expect(result.status == 0, "\(result)")
      let line = try #require(
        result.output.wholeMatch(of: /Hello world: ([a-z]+), after ([0-9]+)\.([0-9][0-9]) s\n/), "\(result)")
      #expect(line.1 == example, "\(result)")
      let hundredths = try #require(Int(line.2 + line.3))
      // 1.00 to 1.05 on a machine of its own; Go's old runtime never printed.
      #expect((100..<200).contains(hundredths), "\(result)")
    }

    @Test(arguments: ["leaf", "array", "division"])
    func withoutTheSignalItHangs(example: String) throws {
      let environment = inheritedEnvironment(["GODEBUG": "asyncpreemptoff=1"])
      let result = try run(product("busy"), [example], environment: environment, timeout: .seconds(3))
      #expect(result.timedOut, "\(result)")
      #expect(result.output == "", "\(result)")
    }

    @Test(arguments: ["read-untold", "read-told"], [1, 2, 8])
    func aReaderHoldsNoProcessor(scenario: String, processors: Int) throws {
      let result = try monitor([scenario], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output.hasPrefix("others ran true read 42\n"), "\(result)")
      if processors > 1 { return }
      let isTold = scenario == "read-told"
      #expect(result.output.hasSuffix("told \(isTold) untold \(!isTold)\n"), "\(result)")
    }

    /// Neither found out by asking the kernel, nor by the signal, which would stop it in the call.
    @Test func withoutDetectionAReaderHoldsTheProcessor() throws {
      let off = ["GODEBUG": "blockdetectoff=1,asyncpreemptoff=1"]
      let untold = try monitor(["read-untold"], processors: 1, off, timeout: .seconds(3))
      #expect(untold.timedOut, "\(untold)")
      let told = try monitor(["read-told"], processors: 1, off)
      #expect(told.status == 0, "\(told)")
    }

    @Test func detectionOffCountsNoBlocks() throws {
      let result = try monitor(["read-untold"], processors: 1, ["GODEBUG": "blockdetectoff=1"])
      #expect(result.status == 0, "\(result)")
      #expect(result.output.hasSuffix("told false untold false\n"), "\(result)")
    }

    @Test func aThousandHogsNeedFewThreads() throws {
      let numbers = try numbers(4, of: ["many-hogs", "1000"], processors: 2, timeout: .seconds(240))
      #expect(numbers[0] == 1000, "\(numbers)")
      #expect((5...80).contains(numbers[1]), "threads: \(numbers)")
      // Two seconds at least for all of them.
      #expect(numbers[2] > 200, "ticks: \(numbers)")
      // It may be stopped once, and wait for its turn among those that compute, but not until all of them have ended.
      #expect(numbers[3] < 40, "late by so many hundredths of the whole time: \(numbers)")
    }

    /// Each that is stopped costs a thread, and none of them can be kept from beginning. With slices of a millisecond nearly
    /// all of them were stopped. (Four Ps to a CPU make each goroutine take four times as long.)
    @Test func notAllHogsThatWaitedFirstAreStopped() throws {
      let numbers = try numbers(2, of: ["begun-hogs", "6000"], processors: 2, timeout: .seconds(240))
      #expect(numbers[0] == 6000, "\(numbers)")
      #expect(numbers[1] < 3500, "threads: \(numbers)")
    }

    @Test(arguments: [1, 2, 8])
    func theMainActorIsWhereMainIs(processors: Int) throws {
      let result = try monitor(["main-actor"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "5250\n", "\(result)")
    }

    /// On one processor: goroutines on several may overtake each other for as long as the kernel leaves a thread standing.
    @Test func sleepersWakeInTheOrderOfTheirTime() throws {
      let result = try monitor(["sleepers-in-order"], processors: 1)
      #expect(result.status == 0, "\(result)")
      #expect(numbers(result) == Array(1...8), "\(result)")
    }

    /// If the thread is late, one that becomes due runs before those that wait in the queue (Go's `runnext`). Both are in
    /// order: of three one after the other somebody is in order.
    @Test func aftersArriveInOrder() throws {
      let result = try monitor(["afters-in-order"], processors: 1)
      #expect(result.status == 0, "\(result)")
      let order = numbers(result)
      #expect(order.sorted() == Array(1...8), "\(result)")
      for (place, number) in order.enumerated() {
        let (before, behind) = (order[..<place], order[place...])
        #expect(before.allSatisfy { $0 < number } || behind.allSatisfy { $0 >= number }, "\(result)")
      }
    }

    /// Where a processor is idle somebody waits for the clock, also when the thread that did has found work.
    @Test(arguments: [2, 8])
    func aSleeperWakesUpBesideTheOneThatWokeBefore(processors: Int) throws {
      let numbers = try numbers(1, of: ["sleeper-beside-waker"], processors: processors)
      #expect(numbers[0] < 50, "\(numbers)")
    }

    /// Who is stopped for somebody that wakes up goes on first, until its turn of ten milliseconds is over.
    @Test func whoIsStoppedWithinItsTurnGoesOnFirst() throws {
      let numbers = try numbers(3, of: ["turns", "1000"], processors: 1)
      #expect(numbers[1] > 2, "\(numbers)")
      // However rarely the ticker came: if they changed places at each of its ticks, it would be this often.
      #expect(numbers[1] < numbers[2] * 2, "\(numbers)")
      #expect(numbers[1] < numbers[0] / 2, "\(numbers)")
    }

    @Test(arguments: [1, 2, 8])
    func threadsOfABurstEnd(processors: Int) throws {
      let numbers = try numbers(3, of: ["burst", "100"], processors: processors)
      #expect(numbers[0] > 100, "\(numbers)")
      #expect(numbers[1] <= processors + 4, "\(numbers)")
      #expect(numbers[2] < 10_000, "\(numbers)")
    }

    /// Under ten in five seconds, over all threads: nothing wakes up by itself.
    @Test(arguments: ["idle-main-reads", "idle-goroutine-reads"], [1, 2, 8])
    func anIdleProgramRests(scenario: String, processors: Int) throws {
      let program = try RunningProgram(
        product("apus-monitor"), [scenario], environment: inheritedEnvironment(["GOMAXPROCS": "\(processors)"]))
      #expect(program.firstOutput() == "ready\n")
      sleep(for: 2)
      let before = try program.voluntarySwitches()
      sleep(for: 5)
      let after = try program.voluntarySwitches()
      #expect(before.threads == after.threads)
      #expect((0..<10).contains(after.switches - before.switches), "\(after.switches - before.switches) switches")
    }

    /// Who looks every twenty seconds since when goroutines wait comes to rest too: it sleeps in a futex without an end.
    @Test func aProgramAtRestIsNotLookedAt() throws {
      let program = try RunningProgram(
        product("apus-monitor"), ["idle-main-reads"], environment: inheritedEnvironment(["GOMAXPROCS": "2"]))
      #expect(program.firstOutput() == "ready\n")
      sleep(for: 2)
      let first = try program.systemCall(ofThread: "apus-template")
      sleep(for: 20)
      let last = try program.systemCall(ofThread: "apus-template")
      try #require(first.count > 4 && last.count > 4)
      #expect(first[0] == last[0])
      #expect(first[4] != "0x0", "\(first)")
      #expect(last[4] == "0x0", "\(last)")
    }

    @Test(arguments: [1, 2, 8])
    func theWorldStopsWhateverGoroutinesDo(processors: Int) throws {
      let result = try monitor(["world-stops"], processors: processors)
      #expect(result.status == 0, "\(result)")
      let line = try #require(result.output.wholeMatch(of: /dumped 20 longest ([0-9]+) worst true\n/), "\(result)")
      // A change of the processors and a dump, each some milliseconds.
      #expect(Int(line.1) ?? .max < 5000, "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func statisticsGrow(processors: Int) throws {
      let result = try monitor(["statistics"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "preemptions true stopped true\nuntold true\ntold true\n", "\(result)")
    }

    @Test(arguments: [1, 2])
    func whoHoldsALockGoesOn(processors: Int) throws {
      let result = try monitor(["mutex-of-a-hog"], processors: processors)
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "turns 24 preemptions true\n", "\(result)")
    }

    /// A release of a mutex that nobody has waited for lately is a plain store: the first to wait has a barrier made.
    @Test(arguments: [1, 2, 8])
    func waitingForACalmMutexMakesABarrier(processors: Int) throws {
      let result = try monitor(["calm-mutex", "10000", "deadly"], processors: processors)
      #expect(result.signal == SIGSYS, "\(result)")
      #expect(result.output == "", "\(result)")
    }

    @Test(arguments: [1, 2, 8])
    func waitingForAWatchedMutexMakesNone(processors: Int) throws {
      let fresh = try monitor(["calm-mutex", "1000", "deadly"], processors: processors)
      #expect(fresh.output == "waiting 3\ncounted 3002\n", "\(fresh)")
      #expect(fresh.status == 0, "\(fresh)")
      let contended = try monitor(["watched-mutex"], processors: processors)
      #expect(contended.output == "counted 8000\n", "\(contended)")
      #expect(contended.status == 0, "\(contended)")
    }

    /// The kernel refuses it: then the first to wait goes on asking. It is not among those to whom the lock is handed.
    @Test(arguments: [1, 2, 8])
    func aMutexNeedsNoBarrierToBeHad(processors: Int) throws {
      let result = try monitor(["calm-mutex", "10000"], processors: processors)
      #expect(result.output == "waiting 2\ncounted 3002\n", "\(result)")
      #expect(result.status == 0, "\(result)")
    }

    @Test(arguments: [1, 2])
    func whoHoldsTheLockOfMallocGoesOn(processors: Int) throws {
      let result = try monitor(["malloc-of-a-hog"], processors: processors, ["MALLOC_ARENA_MAX": "1"])
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "over true\n", "\(result)")
    }

    @Test(arguments: [1, 2])
    func noCallIsInterrupted(processors: Int) throws {
      let result = try monitor(["interrupted"], processors: processors)
      #expect(result.status == 0, "\(result)")
      var calls = 0
      var signals = 0
      for line in result.output.split(separator: "\n") {
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count == 3, let outcome = Int(words[0]), let count = Int(words[1]) else { continue }
        calls += 1
        signals += count
        // -3: the system has no such call.
        #expect(outcome == 0 || outcome == -3, "\(words[2]): \(outcome)")
      }
      #expect(calls > 40, "\(result)")
      #expect(signals > calls, "\(result)")
    }

    /// EINTR is 4.
    @Test func theEndOfAChildInterruptsNobody() throws {
      let result = try monitor(["children"], processors: 1)
      #expect(result.status == 0, "\(result)")
      let line = try #require(result.output.wholeMatch(of: /children ([0-9]+) \n/), "\(result)")
      #expect(Int(line.1) ?? 0 > 10, "\(result)")
    }

    @Test func scheduleTraceHasTheFormOfGos() throws {
      let result = try monitor(["hogs-for", "300"], processors: 2, ["GODEBUG": "schedtrace=20"])
      #expect(result.status == 0, "\(result)")
      #expect(result.errorLines.count > 3, "\(result)")
      for line in result.errorLines {
        let form =
          /SCHED [0-9]+ms: gomaxprocs=2 idleprocs=[0-2] threads=[0-9]+ spinningthreads=[0-9]+ needspinning=[01] idlethreads=[0-9]+ runqueue=[0-9]+ \[ [0-9]+ [0-9]+ \] schedticks=\[ [0-9]+ [0-9]+ \]/
        #expect(line.wholeMatch(of: form) != nil, "\(line)")
      }
    }

    /// The lines of a trace in detail, by their first letter. N stands for a number or nil.
    private static let traceForms: [Character: String] = {
      var forms: [Character: String] = [:]
      forms["S"] =
        "SCHED [0-9]+ms: gomaxprocs=2 idleprocs=[0-2] threads=[0-9]+ spinningthreads=[0-9]+ needspinning=[01] idlethreads="
        + "[0-9]+ runqueue=[0-9]+ gcwaiting=(true|false) nmidlelocked=-?[0-9]+ stopwait=[0-9]+ sysmonwait=(true|false)"
      forms["P"] =
        "  P[01]: status=[0-4] schedtick=[0-9]+ syscalltick=[0-9]+ m=N runqsize=[0-9]+ gfreecnt=[0-9]+ timerslen=[0-9]+"
      forms["M"] = "  M[0-9]+: p=N curg=N locks=[0-9]+ spinning=(true|false) blocked=(true|false) lockedg=N"
      forms["G"] = "  G[0-9]+: status=[0-9]\\([a-zA-Z. ()]*\\) m=N lockedm=N"
      return forms.mapValues { $0.replacing("=N", with: "=(nil|-?[0-9]+)") }
    }()

    @Test func scheduleTraceInDetailHasTheFormOfGos() throws {
      let result = try monitor(["hogs-for", "300"], processors: 2, ["GODEBUG": "schedtrace=20,scheddetail=1"])
      #expect(result.status == 0, "\(result)")
      var seen: [Character: Int] = [:]
      for line in result.errorLines {
        let kind = line.first { $0 != " " } ?? " "
        seen[kind, default: 0] += 1
        let form = try #require(Self.traceForms[kind], "\(line)")
        #expect(try Regex(form).wholeMatch(in: line) != nil, "\(line)")
      }
      #expect(Set(seen.keys) == ["S", "P", "M", "G"], "\(result)")
      // Two processors a time, and the four that compute, at least.
      #expect((seen["P"] ?? 0) == 2 * (seen["S"] ?? 0) && (seen["G"] ?? 0) > 2 * (seen["S"] ?? 0), "\(result)")
    }

    /// Nor are those shown that have ended: one more than live, at most, which is m0 that sleeps for ever.
    @Test func scheduleTraceShowsTheThreadsThatThereAre() throws {
      let result = try monitor(["ended-threads", "12"], processors: 2, ["GODEBUG": "schedtrace=20,scheddetail=1"])
      #expect(result.status == 0, "\(result)")
      let last = try #require(result.errorLines.lastIndex { $0.hasPrefix("SCHED ") }, "\(result)")
      let threads = try #require(result.errorLines[last].firstMatch(of: #/ threads=([0-9]+) /#).flatMap { Int($0.1) })
      let shown = result.errorLines[last...].count { $0.hasPrefix("  M") }
      #expect(shown >= threads && shown <= threads + 1, "\(result)")
    }

    /// By Go's number of the state.
    @Test func scheduleTraceTellsWhoIsInTheKernel() throws {
      let result = try monitor(["read-told"], processors: 2, ["GODEBUG": "schedtrace=5,scheddetail=1"])
      #expect(result.errorLines.contains { $0.contains(#/^  G[0-9]+: status=3\(/#) }, "\(result)")
    }
  }
}

/// Sleeps on the calling thread.
private func sleep(for seconds: Double) {
  Thread.sleep(forTimeInterval: seconds)
}
