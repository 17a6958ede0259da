import Foundation
import RegexBuilder
import Testing

extension Programs {
  /// Programs with a managed heap, looked at from outside.
  @Suite struct Heaps {
    private func heap(
      _ arguments: [String], _ changes: [String: String] = [:], timeout: Duration = .seconds(120)
    ) throws -> ProgramResult {
      try run(
        product("apus-heap-programs"), arguments, environment: inheritedEnvironment(changes), timeout: timeout)
    }

    @Test(arguments: [
      ("optional", "a link in WithOptional.next, in the enumeration Optional<Link<Node>>"),
      ("enumeration", "a link in WithEnumeration.choice, in the enumeration Choice"),
      ("enumeration-itself", "a link in Tree, in the enumeration Tree"),
      ("inline-array", "a link in WithInlineArray.links, in an InlineArray; several links are Links"),
      ("existential", "a link in WithExistential, in an existential that holds Linked"),
      ("any", "a link in WithExistential, in an existential that holds Link<Node>"),
      ("array-of-optionals", "a link in Optional<Link<Node>>, in the enumeration Optional<Link<Node>>"),
      ("read-whole", "a value of Linked has links and can be neither read nor written as a whole"),
      ("write-whole", "a value of Linked has links and can be neither read nor written as a whole"),
      ("computed", "is no stored property"),
      ("array-count", "an array cannot have -1 elements"),
      ("array-size", "an array cannot have"),
    ])
    func misuseIsNamed(scenario: (name: String, message: String)) throws {
      let result = try heap([scenario.name])
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.first?.hasPrefix("panic: managed heap: ") == true, "\(result)")
      #expect(result.errorLines.first?.contains(scenario.message) == true, "\(result)")
    }

    @Test(arguments: ["array-index", "link-index"])
    func anIndexThatThereIsNotTraps(scenario: String) throws {
      let result = try heap([scenario])
      #expect(result.status != 0, "\(result)")
      #expect(result.output == "", "\(result)")
    }

    @Test func whatOnlyLooksLikeALinkIsAccepted() throws {
      let result = try heap(["innocent"], ["GODEBUG": "heapcheck=1"])
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "xy text 1\n", "\(result)")
    }

    @Test func theCollectorsGoroutinesAvertNoDeadlock() throws {
      let result = try heap(["deadlock"], timeout: .seconds(20))
      #expect(result.status == 2, "\(result)")
      #expect(result.errorLines.first == "fatal error: all goroutines are asleep - deadlock!", "\(result)")
    }

    @Test(arguments: ["too-large", "memory-of-the-process"])
    func outOfMemoryIsAReport(scenario: String) throws {
      let result = try heap([scenario])
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains("runtime: out of memory: cannot allocate"), "\(result)")
      // How much there is at most.
      #expect(result.errors.contains(" in use of at most 34359738368)"), "\(result)")
      #expect(result.errors.contains("fatal error: out of memory"), "\(result)")
    }

    @Test func memoryGoesBackAfterASpike() throws {
      let result = try heap(["spike", "200"])
      #expect(result.status == 0, "\(result)")
      let numbers = result.output.split { !$0.isNumber }.compactMap { Int($0) }
      guard numbers.count >= 5 else {
        Issue.record("\(result)")
        return
      }
      let (before, peak, after, scavenge, elapsed) = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
      #expect(peak > before + 150_000, "\(result)")
      #expect(after < before + (peak - before) / 3, "\(result)")
      // In the background, at about a hundredth of the time.
      #expect(scavenge > 0 && scavenge < elapsed / 50, "\(result)")
    }

    @Test(arguments: [64, 128])
    func theMemoryLimitHolds(megabytes: Int) throws {
      let limit = megabytes << 20
      let result = try heap(["limit", "\(megabytes)"], ["GOGC": "off", "GOMEMLIMIT": "\(limit)"])
      #expect(result.status == 0, "\(result)")
      let numbers = result.output.split { !$0.isNumber }.compactMap { Int($0) }
      #expect((numbers.first ?? .max) * 1024 <= limit + limit / 10, "\(result)")
      #expect((numbers.last ?? 0) > 3, "\(result)")
    }

    /// The two numbers that a scenario prints.
    private func twoNumbers(
      _ arguments: [String], processors: Int, _ changes: [String: String] = [:]
    ) throws -> (Int, Int) {
      let environment = ["GOMAXPROCS": "\(processors)"].merging(changes) { $1 }
      let result = try heap(arguments, environment, timeout: .seconds(60))
      #expect(result.status == 0, "\(result)")
      let numbers = result.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
      try #require(numbers.count == 2, "\(result)")
      return (numbers[0], numbers[1])
    }

    private func garbage(
      _ arguments: [String], processors: Int, _ changes: [String: String] = [:]
    ) throws -> (mostLiving: Int, mostWaiting: Int) {
      try twoNumbers(arguments, processors: processors, changes)
    }

    /// Where the heap is beyond its goal and others have the rest of the marking, who allocates waits with his thread. Of
    /// 1,000 that allocate at once half did. (Where there are more Ps than CPUs, whoever ends the cycle has none for
    /// long, and many come to wait.)
    @Test(arguments: [1, 2])
    func fewWaitForTheEndOfACollection(processors: Int) throws {
      #if DEBUG
        // It takes twenty times as long, and most would be stopped since they compute.
        let lists = "20"
      #else
        let lists = "100"
      #endif
      let (collections, threads) = try twoNumbers(["crowd", "1000", lists], processors: processors)
      #expect(collections > 3)
      #expect(threads < 250)
    }

    /// There is much to mark, in one list, while more than 32 wait for the end of the cycle: somebody always ends it.
    @Test(arguments: [1, 2, 8])
    func aCrowdBesideALongListGoesOn(processors: Int) throws {
      let (ended, collections) = try twoNumbers(
        ["crowd-beside-much", "60"], processors: processors, ["GOGC": "10"])
      #expect(ended == 60)
      #expect(collections > 3)
    }

    /// Two million objects of 128 bytes, whose goal is 8 MB: so many may wait for destruction, and as many be garbage that is
    /// not found yet. One goroutine destroys what eight make.
    @Test(arguments: [1, 2, 8], [0, 1])
    func garbageIsDestroyedAsFastAsItIsMade(processors: Int, heapcheck: Int) throws {
      let changes = ["GODEBUG": "heapcheck=\(heapcheck)"]
      let most = try garbage(["garbage", "2000000"], processors: processors, changes).mostLiving
      #expect((10_000..<500_000).contains(most))
    }

    /// Eighty make it: most of them wait at once.
    @Test(arguments: [1, 2, 8])
    func aCrowdWaitsForDestruction(processors: Int) throws {
      let (living, waiting) = try garbage(["garbage-crowd", "2000000", "80"], processors: processors)
      #expect((10_000..<500_000).contains(living))
      #expect((65...80).contains(waiting))
    }

    /// Who waits keeps its thread: of 2,000 that would have to not more than 512 do.
    @Test(arguments: [1, 2, 8])
    func notTooManyWaitForDestruction(processors: Int) throws {
      let waiting = try garbage(["garbage-crowd", "4000000", "2000"], processors: processors).mostWaiting
      #expect(waiting <= 512)
    }

    /// Nobody waits long for a `deinit` that parks or keeps its thread for so many microseconds, when there are 160,000 of
    /// them; none of the eight who make them is forgotten.
    @Test(arguments: ["garbage-parks", "garbage-stalls"], [5000, 20_000, 150_000])
    func nobodyWaitsForASlowDestruction(scenario: String, time: Int) throws {
      for processors in [1, 2, 8] {
        let most = try garbage([scenario, "160000", "\(time)"], processors: processors).mostLiving
        #expect(most > 150_000)
      }
    }

    /// Whoever writes the line may have to wait for its reader: not with the processor.
    @Test func gctraceHoldsNobodyUp() throws {
      let result = try heap(["trace-waits"], ["GODEBUG": "gctrace=1", "GOMAXPROCS": "1"], timeout: .seconds(20))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "true 1\n", "\(result)")
    }

    @Test func gctraceIsInGosFormat() throws {
      let result = try heap(["trace", "3"], ["GODEBUG": "gctrace=1", "GOMAXPROCS": "2"])
      #expect(result.status == 0, "\(result)")
      let number = #/[0-9]+(\.[0-9]+)?/#
      let line = Regex {
        "gc "
        #/[0-9]+/#
        " @"
        #/[0-9]+\.[0-9]{3}/#
        "s "
        #/[0-9]+/#
        "%: "
        number
        "+"
        number
        "+"
        number
        " ms clock, "
        number
        "+"
        number
        "/"
        number
        "/"
        number
        "+"
        number
        " ms cpu, "
        #/[0-9]+->[0-9]+->[0-9]+/#
        " MB, "
        #/[0-9]+/#
        " MB goal, "
        #/[0-9]+/#
        " MB stacks, 0 MB globals, 2 P (forced)"
      }
      #expect(result.errorLines.count == 3, "\(result)")
      for text in result.errorLines { #expect(text.wholeMatch(of: line) != nil, "\(text)") }
    }

    /// Each collection interrupts the sleep twice; it ends all the same. (Begun anew each time it would last for as long as
    /// there are collections, and so for ever.) How much later says nothing: of ppoll the kernel tells what was left when it
    /// woke the thread, so each interruption adds what the thread then waits for a CPU.
    @Test(arguments: [1, 2, 8])
    func collectionsProlongNoSleep(processors: Int) throws {
      let result = try heap(["sleepers", "400"], ["GOMAXPROCS": "\(processors)"], timeout: .seconds(60))
      #expect(result.status == 0, "\(result)")
      let lines = result.output.split(separator: "\n").map { $0.split(separator: " ", maxSplits: 3) }
      #expect(lines.count == 8, "\(result)")
      for line in lines where line.count == 4 {
        #expect(line[0] == "0", "\(result)")
        let (took, collections) = (Int(line[1]) ?? 0, Int(line[2]) ?? 0)
        #expect(took >= 400 && collections > 5, "\(result)")
      }
    }

    @Test(arguments: ["heapcheck=1", "gcstoptheworld=1", "heapcheck=1,gcstoptheworld=1"])
    func theOtherKnobsWork(debug: String) throws {
      let result = try heap(["trace", "20"], ["GODEBUG": debug])
      #expect(result.status == 0, "\(result)")
      #expect(result.errors == "", "\(result)")
    }
  }
}
