import ApusRuntime
import Testing

/// Calls `body` with an environment array of `entries`.
func withEnvironment<Result>(
  _ entries: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) throws -> Result
) rethrows -> Result {
  let strings = entries.map { entry in
    let bytes = entry.utf8CString
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for (index, byte) in bytes.enumerated() { copy[index] = byte }
    return copy
  }
  defer { for string in strings { string.deallocate() } }
  let array: [UnsafeMutablePointer<CChar>?] = strings + [nil]
  return try array.withUnsafeBufferPointer { try body($0.baseAddress!) }
}

@Suite struct BootKnobsTests {
  private func parse(_ entries: String...) -> (Knobs, [String]) {
    var reports: [String] = []
    let knobs = withEnvironment(entries) { environment in
      Knobs(environment: environment) { line in
        reports.append(
          String(decoding: UnsafeRawBufferPointer(start: line.start, count: line.count), as: UTF8.self))
      }
    }
    return (knobs, reports)
  }

  @Test func hasDefaults() {
    let (knobs, reports) = parse("PATH=/bin", "GODEBUG=", "GOTRACEBACK=", "GOMAXPROCS=", "APUS_STACK=", "APUS_TRACE=")
    #expect(reports == [])
    #expect(knobs.boottrace == 0 && knobs.schedtrace == 0 && knobs.seed == nil)
    #expect(knobs.traceback == .single && knobs.maxProcs == 0 && knobs.stackSize == 0 && knobs.tracePath == nil)
    #expect(Knobs(environment: nil).maxProcs == 0 && knobs.attach == 1)
  }

  @Test func readsEveryKey() {
    let (knobs, reports) = parse(
      "GODEBUG=boottrace=1,inittrace=2,schedtrace=1000,scheddetail=3,,asyncpreemptoff=4,blockdetectoff=5,gctrace=6,"
        + "gcstoptheworld=7,heapcheck=8,attach=9,placementoff=10,userfaultfdoff=11,seed=18446744073709551615,")
    #expect(reports == [])
    #expect(knobs.boottrace == 1 && knobs.inittrace == 2 && knobs.schedtrace == 1000 && knobs.scheddetail == 3)
    #expect(knobs.asyncpreemptoff == 4 && knobs.blockdetectoff == 5 && knobs.gctrace == 6)
    #expect(knobs.gcstoptheworld == 7 && knobs.heapcheck == 8 && knobs.attach == 9 && knobs.seed == .max)
    #expect(knobs.placementoff == 10 && knobs.userfaultfdoff == 11)
    #expect(
      knobs.debugDescription
        == "boottrace=1,inittrace=2,schedtrace=1000,scheddetail=3,asyncpreemptoff=4,blockdetectoff=5,placementoff=10,"
        + "userfaultfdoff=11,gctrace=6,gcstoptheworld=7,heapcheck=8,attach=9,seed=18446744073709551615")
    #expect(parse("GODEBUG=attach=1").0.debugDescription == "")
  }

  /// What a caller without its rights could use to write files and read memory.
  @Test func aProgramWithMoreRightsThanItsCallerListensLess() {
    withEnvironment(["APUS_TRACE=/some/file", "GOTRACEBACK=all", "GOMAXPROCS=3"]) { environment in
      let (secure, plain) = (Knobs(environment: environment, isSecure: true), Knobs(environment: environment))
      #expect(secure.tracePath == nil && secure.traceback == .none && secure.maxProcs == 3)
      #expect(plain.tracePath != nil && plain.traceback == .all)
    }
  }

  @Test func reportsBadEntriesOnce() {
    let (knobs, reports) = parse(
      "GODEBUG=foo=1,boottrace=x,foo=2,bar,gctrace,seed=-1,schedtrace=99999999999,scheddetail=1")
    #expect(
      reports == [
        "apus: GODEBUG: boottrace=\"x\" is not a number; ignored\n",
        "apus: GODEBUG: unknown key \"foo\" ignored\n",
        "apus: GODEBUG: unknown key \"bar\" ignored\n",
        "apus: GODEBUG: key \"gctrace\" without a value ignored\n",
        "apus: GODEBUG: seed=\"-1\" is not between 0 and 18446744073709551615; ignored\n",
        "apus: GODEBUG: schedtrace=\"99999999999\" is not between 0 and 2147483647; ignored\n",
      ])
    #expect(knobs.boottrace == 0 && knobs.schedtrace == 0 && knobs.seed == nil && knobs.scheddetail == 1)
  }

  @Test func takesTheLastOfRepeatedKeys() {
    let (knobs, reports) = parse("GODEBUG=gctrace=1,seed=5,gctrace=x,seed=6,gctrace=3", "GODEBUG=gctrace=9")
    #expect(knobs.gctrace == 3 && knobs.seed == 6)
    #expect(reports == [])
  }

  @Test func masksAndCutsWhatItRepeats() {
    let (_, reports) = parse("GODEBUG=a\u{1B}[31m=1,seed=" + String(repeating: "y", count: 2000))
    #expect(reports.count == 2)
    #expect(reports[0] == "apus: GODEBUG: unknown key \"a?[31m\" ignored\n")
    #expect(
      reports[1] == "apus: GODEBUG: seed=\"" + String(repeating: "y", count: 80) + "...\" is not a number; ignored\n")
  }

  @Test(arguments: [
    ("none", Knobs.Traceback.none), ("0", .none), ("single", .single), ("all", .all), ("1", .all), ("system", .system),
    ("2", .system), ("crash", .crash),
  ]) func readsTraceback(text: String, level: Knobs.Traceback) {
    let (knobs, reports) = parse("GOTRACEBACK=" + text)
    #expect(knobs.traceback == level && reports == [])
  }

  @Test func refusesTraceback() {
    let (knobs, reports) = parse("GOTRACEBACK=3")
    #expect(knobs.traceback == .single)
    #expect(
      reports == ["apus: GOTRACEBACK=\"3\" is none of none, single, all, system, crash, 0, 1 and 2; ignored\n"])
  }

  @Test(arguments: ["abc", "-1", "0", "99999", "1025", "2 ", "18446744073709551617"]) func refusesMaxProcs(text: String)
  {
    let (knobs, reports) = parse("GOMAXPROCS=" + text)
    #expect(knobs.maxProcs == 0)
    #expect(reports == ["apus: GOMAXPROCS=\"\(text)\" is not a whole number from 1 to 1024; ignored\n"])
  }

  @Test func readsMaxProcs() {
    #expect(parse("GOMAXPROCS=1").0.maxProcs == 1)
    #expect(parse("GOMAXPROCS=1024").0.maxProcs == 1024)
  }

  @Test(arguments: [
    ("16384", 16384), ("16k", 16384), ("256K", 262144), ("1m", 1 << 20), ("1g", 1 << 30), ("1024m", 1 << 30),
  ]) func readsStackSize(text: String, size: Int) {
    let (knobs, reports) = parse("APUS_STACK=" + text)
    #expect(knobs.stackSize == size && reports == [])
  }

  @Test(arguments: [
    "1", "16383", "15k", "k", "1025m", "2g", "-16k", "99999999999999999999", "18014398509481985k", "1t",
  ])
  func refusesStackSize(text: String) {
    let (knobs, reports) = parse("APUS_STACK=" + text)
    #expect(knobs.stackSize == 0)
    #expect(
      reports == [
        "apus: APUS_STACK=\"\(text)\" is not a size from 16k to 1g (a number of bytes, or one followed by k, m or g); "
          + "ignored\n"
      ])
  }

  @Test(arguments: [
    ("1ms", 1_000_000), ("1500ms", 1_500_000_000), ("60s", 60_000_000_000), ("2m", 120_000_000_000),
    ("24h", 86_400_000_000_000), ("off", 0),
  ]) func readsTimeOfShelving(text: String, nanoseconds: Int64) {
    let (knobs, reports) = parse("APUS_SHELVE=" + text)
    #expect(knobs.shelving == nanoseconds && reports == [])
  }

  @Test(arguments: [
    "0", "60", "0ms", "ms", "25h", "1.5s", "-1s", "1us", "99999999999999999999s", "18446744073709551615h",
  ])
  func refusesTimeOfShelving(text: String) {
    let (knobs, reports) = parse("APUS_SHELVE=" + text)
    #expect(knobs.shelving == 0)
    #expect(
      reports == [
        "apus: APUS_SHELVE=\"\(text)\" is neither \"off\" nor a time from 1ms to 24h (a whole number followed by ms, s, m or "
          + "h); ignored\n"
      ])
  }

  @Test func keepsTracePath() {
    withEnvironment(["APUS_TRACE=/a b"]) { environment in
      #expect(Knobs(environment: environment).tracePath.map { String(cString: $0) } == "/a b")
    }
  }

  @Test(arguments: [
    ("GODEBUG=boottrace=1", true), ("GODEBUG=gctrace=1,boottrace=1", true), ("GODEBUG=boottrace=0", false),
    ("GODEBUG=boottrace=1,boottrace=0", false), ("GODEBUG=boottrace", false), ("GODEBUG=xboottrace=1", false),
    ("GODEBUGX=boottrace=1", false), ("GODEBUG=boottrace=x", false),
  ]) func scansForBootTrace(entry: String, isWanted: Bool) {
    withEnvironment(["A=B", entry]) { #expect(Knobs.wantsBootTrace($0) == isWanted) }
  }
}
