import Foundation
import Testing

/// The goroutines of a dump without what differs from build to build: frames of the library, of libc, and closures (which
/// a release build may leave by a tail call), folders, and distances.
private func normalized(_ dump: DumpText) -> String {
  var lines: [String] = []
  for goroutine in dump.goroutines {
    lines.append("goroutine \(goroutine.id) [\(goroutine.status)]")
    for (function, place) in zip(goroutine.functions, goroutine.places) {
      if place.contains("/Sources/") || place.hasPrefix("libc.") || function.hasPrefix("closure") { continue }
      lines.append("  \(function) \(shortened(place))")
    }
    if let creation = goroutine.creation {
      lines.append("  created by \(creation.function) in \(goroutine.creator ?? 0) \(shortened(creation.place))")
    }
  }
  return lines.joined(separator: "\n")
}

/// `File.swift:12` of `/folder/File.swift:12 +0x34`.
private func shortened(_ place: String) -> String {
  String(place.split(separator: "/").last?.prefix { $0 != " " } ?? "")
}

private func faults(_ scenario: String, _ changes: [String: String] = [:]) throws -> ProgramResult {
  try run(product("apus-faults"), [scenario], environment: inheritedEnvironment(changes), timeout: .seconds(30))
}

extension Programs {
  /// Dumps of a program with a goroutine for each kind of waiting, and reports that a signal asks for.
  @Suite struct Waits {
    private static let waiting = """
      goroutine 6 [chan receive]
        apus_faults.receive(_:) Waits.swift:23
        created by apus_faults.startWaits(_:) in 1 Waits.swift:100
      goroutine 7 [chan send]
        apus_faults.send(_:) Waits.swift:29
        created by apus_faults.startWaits(_:) in 1 Waits.swift:101
      goroutine 8 [select]
        apus_faults.selectTwo(_:) Waits.swift:35
        created by apus_faults.startWaits(_:) in 1 Waits.swift:102
      goroutine 9 [select (no cases)]
        created by apus_faults.startWaits(_:) in 1 Waits.swift:103
      goroutine 10 [sleep]
        apus_faults.sleepLong(_:) Waits.swift:41
        created by apus_faults.startWaits(_:) in 1 Waits.swift:104
      goroutine 11 [sync.Cond.Wait]
        apus_faults.waitForCondition(_:) Waits.swift:71
        created by apus_faults.startWaits(_:) in 1 Waits.swift:105
      goroutine 12 [sync.WaitGroup.Wait]
        apus_faults.waitForGroup(_:) Waits.swift:65
        created by apus_faults.startWaits(_:) in 1 Waits.swift:106
      goroutine 13 [semacquire]
        apus_faults.acquire(_:) Waits.swift:77
        created by apus_faults.startWaits(_:) in 1 Waits.swift:107
      goroutine 14 [chan receive, locked to thread]
        apus_faults.receiveLocked(_:) Waits.swift:84
        created by apus_faults.startWaits(_:) in 1 Waits.swift:108
      goroutine 15 [sync.WaitGroup.Wait]
        apus_faults.startChild(_:) Waits.swift:91
        created by apus_faults.startWaits(_:) in 1 Waits.swift:109
      goroutine 16 [chan receive]
        apus_faults.receive(_:) Waits.swift:23
        created by apus_faults.startChild(_:) in 15 Waits.swift:90
      goroutine 17 [chan receive]
        apus_faults.receive(_:) Waits.swift:23
        created by apus_faults.startWaits(_:) in 1 Waits.swift:111
      goroutine 18 [chan receive]
        apus_faults.receive(_:) Waits.swift:23
        created by apus_faults.startWaits(_:) in 1 Waits.swift:112
      goroutine 19 [chan receive]
        apus_faults.receive(_:) Waits.swift:23
        created by apus_faults.startWaits(_:) in 1 Waits.swift:113
      goroutine 20 [sync.Mutex.Lock]
        apus_faults.lockMutex(_:) Waits.swift:47
        created by apus_faults.startWaits(_:) in 1 Waits.swift:115
      goroutine 21 [sync.RWMutex.RLock]
        apus_faults.lockForReading(_:) Waits.swift:53
        created by apus_faults.startWaits(_:) in 1 Waits.swift:116
      goroutine 22 [sync.RWMutex.Lock]
        apus_faults.lockForWriting(_:) Waits.swift:59
        created by apus_faults.startWaits(_:) in 1 Waits.swift:117
      """

    /// GOMAXPROCS is 1, so that goroutines start in the order of their creation.
    @Test func everyKindOfWaitIsShown() throws {
      let result = try faults("waits-dump", ["GOMAXPROCS": "1"])
      #expect(result.status == 0, "\(result)")
      let dump = DumpText(String(result.output.dropLast()), hasHeadline: false)
      #expect(dump.faults == [], "\(result)")
      let running = """
        goroutine 1 [running]
          apus_faults.runWaits(_:) Waits.swift:168
          apus_faults_main(...) main.swift:120

        """
      #expect(normalized(dump) == running + Self.waiting, "\(normalized(dump))")
      // An adapter around a closure that is inlined into it would have the closure's name, too, and no line.
      for goroutine in dump.goroutines {
        for (function, place) in zip(goroutine.functions, goroutine.places) where function.hasPrefix("closure") {
          #expect(place.hasPrefix("/"), "\(result)")
        }
      }
    }

    @Test func aQuitSignalShowsTheSame() throws {
      let result = try faults("waits-quit", ["GOMAXPROCS": "1"])
      #expect(result.status == 2, "\(result)")
      #expect(result.output == "", "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "SIGQUIT: quit", "\(result)")
      #expect(dump.details.count == 1, "\(result)")
      #expect(dump.details.first?.wholeMatch(of: /PC=0x[0-9a-f]+ m=[0-9]+ sigcode=0/) != nil, "\(result)")
      #expect(dump.faults == [], "\(result)")
      // It sleeps in a system call without a word, `pause` or still `kill`. Its thread has told where.
      let possible = [178, 179].map { line in
        """
        goroutine 1 [running]
          apus_faults.runWaits(_:) Waits.swift:\(line)
          apus_faults_main(...) main.swift:120

        """ + Self.waiting
      }
      #expect(possible.contains(normalized(dump)), "\(normalized(dump))")
    }

    /// Nobody comes to a scheduling point; the report comes all the same.
    @Test(arguments: ["1", "2", "8"])
    func aQuitSignalNeedsNobodysHelp(processors: String) throws {
      let result = try faults("quit-busy", ["GOMAXPROCS": processors])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.map(\.status).contains("running"), "\(result)")
      #expect(dump.goroutines.count == Int(processors), "\(result)")
      // Each thread tells where it computes.
      for goroutine in dump.goroutines {
        #expect(goroutine.places.contains { $0.contains("/Waits.swift:") }, "goroutine \(goroutine.id): \(result)")
      }
    }

    @Test(arguments: ["1", "2", "8"])
    func aQuitSignalReachesAProcessThatDoesNothing(processors: String) throws {
      let result = try faults("quit-idle", ["GOMAXPROCS": processors])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "SIGQUIT: quit", "\(result)")
      #expect(dump.goroutines.map(\.status) == ["chan receive"], "\(result)")
    }

    /// Every processor is held, and some who compute are stopped.
    @Test(arguments: ["1", "2", "8"])
    func aQuitSignalShowsWhoComputes(processors: String) throws {
      let result = try faults("quit-hogs", ["GOMAXPROCS": processors])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.count == 2 * Int(processors)! + 1, "\(result)")
      for goroutine in dump.goroutines.dropFirst() {
        // Maybe nobody runs at that moment: one has been stopped for another whose thread has no CPU yet.
        #expect(["running", "runnable"].contains(goroutine.status), "\(result)")
        #expect(goroutine.functions.first == "apus_faults.computeForEver()", "\(result)")
      }
    }

    @Test(arguments: ["1", "2", "8"])
    func aQuitSignalShowsSystemCalls(processors: String) throws {
      let result = try faults("quit-syscalls", ["GOMAXPROCS": processors])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.count == 7, "\(result)")
      for goroutine in dump.goroutines.dropFirst() {
        let isTold = goroutine.calls("readTold")
        #expect(isTold || goroutine.calls("readUntold"), "\(result)")
        #expect(goroutine.status == (isTold ? "syscall" : "running"), "\(result)")
      }
      #expect(dump.goroutines.filter { $0.status == "syscall" }.count == 3, "\(result)")
    }

    @Test func aQuitSignalShowsEverybody() throws {
      let result = try faults("quit-many")
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.count == 1001, "\(result)")
    }

    @Test func tracebackNoneLeavesTheSignal() throws {
      let result = try faults("quit-many", ["GOTRACEBACK": "none"])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.count == 2, "\(result)")
    }

    @Test func tracebackCrashEndsBySIGABRT() throws {
      let result = try faults("quit-many", ["GOTRACEBACK": "crash"])
      #expect(result.signal == 6, "\(result)")
    }

    @Test func anAbortThatSomebodySendsIsARequest() throws {
      let result = try faults("quit-abort")
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.headline == "SIGABRT: abort", "\(result)")
      #expect(dump.goroutines.map(\.status) == ["sleep"], "\(result)")
    }

    @Test func aForkedChildDiesOfTheSignal() throws {
      let result = try run(product("apus-traps"), ["none", "forked"], timeout: .seconds(20))
      #expect(result.output == "the child died of signal 3\n", "\(result)")
      #expect(result.errors == "", "\(result)")
    }
  }
}
