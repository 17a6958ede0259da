import ApusRuntime
import CApus
import Testing

@Suite struct BootAuxiliaryVectorTests {
  @Test func parsesAStack() {
    func text(_ text: StaticString) -> UInt { UInt(bitPattern: text.utf8Start) }
    let random: [UInt8] = Array(0..<16)
    random.withUnsafeBytes { random in
      let words: [UInt] = [
        2, text("program"), text("argument"), 0, text("A=1"), text("B=2"), text("A=3"), 0,
        6, 65536, 25, UInt(bitPattern: random.baseAddress!), 33, 0x7000, 16, 0xF00, 26, 3, 51, 3632, 9, 0x401000,
        3, 0x400040, 5, 13, 7, 0x7F00, 23, 1, 17, 100, 4242, 1, 0, 0, 6, 1,
      ]
      words.withUnsafeBytes { stack in
        let vector = AuxiliaryVector(initialStack: stack.baseAddress!)
        #expect(vector.argumentCount == 2 && vector.count == 13 && vector.isFromInitialStack)
        #expect(vector.pageSize == 65536 && vector.sysinfoEHDR == 0x7000 && vector.hwcap == 0xF00)
        #expect(vector.minSignalStackSize == 3632 && vector.entry == 0x401000 && vector.isSecure)
        #expect(vector.random?.load(fromByteOffset: 15, as: UInt8.self) == 15)

        let environment = ProcessEnvironment(vector)
        #expect(environment.argumentCount == 2 && environment.environmentCount == 3)
        #expect(environment.arguments?[1].map { String(cString: $0) } == "argument")
        #expect(environment.value(of: "A").map { String(cString: $0) } == "1")
        #expect(environment.value(of: "AB") == nil)
        #expect(environment.value(of: "") == nil)
        #expect(!environment.agreesWithCommandLine())
      }
    }
  }

  @Test func parsesAnEmptyStack() {
    let words: [UInt] = [0, 0, 0, 0, 0]
    words.withUnsafeBytes { stack in
      let vector = AuxiliaryVector(initialStack: stack.baseAddress!)
      #expect(vector.argumentCount == 0 && vector.count == 0 && vector.pageSize == 4096 && vector.random == nil)
      #expect(ProcessEnvironment(vector).environmentCount == 0)
    }
  }

  @Test func asksLibcWithoutOurEntryPoint() {
    let vector = AuxiliaryVector(environment: apus_environ()) { apus_getauxval($0) }
    #expect(vector.pageSize == Int(apus_getauxval(6)) && vector.random != nil && vector.entry != 0)
    #expect(vector.count >= 5 && !vector.isFromInitialStack)
    #expect(ProcessEnvironment(vector).agreesWithCommandLine())
    #expect(ProcessEnvironment(vector).value(of: "PATH") != nil)
  }

  @Test func agreesWithTheProcess() {
    let vector = AuxiliaryVector.read()
    #expect(vector.pageSize == Int(apus_getauxval(6)) && vector.entry == UInt(apus_getauxval(9)))
    #expect(ProcessEnvironment(vector).agreesWithCommandLine())
  }
}

@Suite struct BootProcessorFeaturesTests {
  private let modern: UInt32 = 1 << 8 | 1 << 15 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26

  @Test func findsOldProcessors() {
    let none: ProcessorFeatures.Leaf = (0, 0, 0, 0)
    let old = ProcessorFeatures(
      one: (0, 0, 0, modern & ~(1 << 26)), seven: none, extendedOne: none, extendedSeven: none, enabledStates: 0)
    #expect(old.isTooOld)
    let plain = ProcessorFeatures(
      one: (0, 0, 0, modern), seven: none, extendedOne: none, extendedSeven: none, enabledStates: 0)
    #expect(!plain.isTooOld && plain.cacheLineSize == 64 && plain.description == "")
  }

  @Test func wantsTheOperatingSystemToSaveWideRegisters() {
    let all: ProcessorFeatures.Leaf = (.max, .max, .max, .max)
    func features(_ states: UInt64) -> ProcessorFeatures.Set {
      ProcessorFeatures(one: all, seven: all, extendedOne: all, extendedSeven: all, enabledStates: states).features
    }
    #expect(features(0).isDisjoint(with: [.avx, .avx2, .avx512f]))
    #expect(features(0).isSuperset(of: [.sse42, .aes, .erms, .bmi1, .bmi2, .rdtscp, .invariantTSC, .popcnt]))
    #expect(features(7).isSuperset(of: [.avx, .avx2]) && !features(7).contains(.avx512f))
    #expect(features(0xE7).contains(.avx512f))
  }

  @Test func readsThisProcessor() {
    let features = ProcessorFeatures.read(AuxiliaryVector.read())
    #expect(!features.isTooOld && features.cacheLineSize >= 32)
    #if arch(x86_64)
      var words: [UInt32] = [0, 0, 0, 0]
      apus_cpuid(1, 0, &words)
      #expect(features.features.contains(.sse42) == (words[2] & 1 << 20 != 0))
      #expect(features.features.contains(.aes) == (words[2] & 1 << 25 != 0))
      #expect(features.cacheLineSize == Int(words[1] >> 8 & 0xFF) * 8)
      #expect(features.vendor.utf8.count == 12)
      #expect(features.features.contains(.osxsave) == (features.xsaveAreaSize >= 576))
    #endif
  }

  @Test func readsAarch64() {
    let features = ProcessorFeatures(hwcap: 1 << 3 | 1 << 8).features
    #expect(features == [.baseline, .invariantTSC, .aes, .lse])
  }
}

@Suite struct BootModuleDataTests {
  private func segment(_ start: UInt, _ end: UInt) -> ModuleData.Segment {
    ModuleData.Segment(start: start, end: end)
  }

  private func reason(_ table: ModuleData, entry: UInt = 0, version: Int32 = APUS_RUNTIME_VERSION) -> String? {
    switch table.verify(entry: entry, nativeVersion: version) {
    case .sound: nil
    case .failed(let reason): reason.description
    }
  }

  @Test func sortsAndFinds() {
    var table = ModuleData()
    for start in [500, 100, 300, 200, 400] as [UInt] { table.insert(segment(start, start + 50)) }
    table.insert(segment(250, 300))
    table.insert(segment(700, 700))
    #expect(table.count == 6 && (1..<6).allSatisfy { table[$0 - 1].start < table[$0].start })
    #expect(table.find(100)?.start == 100 && table.find(149)?.start == 100 && table.find(150) == nil)
    #expect(table.find(299)?.start == 250 && table.find(300)?.start == 300)
    #expect(table.find(99) == nil && table.find(550) == nil && table.find(0) == nil && table.find(.max) == nil)
    #expect(reason(table) == nil && reason(table, entry: 120) == nil)
    #expect(reason(table, entry: 160) == "the entry point is in no loaded image")
  }

  @Test func refuses() {
    #expect(reason(ModuleData()) == "no loaded image has code")
    var table = ModuleData()
    table.insert(segment(100, 200))
    #expect(reason(table, version: 99) == "the C and the Swift half of the runtime are of different versions")
    table.insert(segment(199, 300))
    #expect(reason(table) == "the code of two loaded images overlaps")
    var inverted = ModuleData()
    inverted.insert(segment(300, 100))
    #expect(reason(inverted) == "a loaded image's code ends before it starts")
  }

  @Test func keepsWithinItsCapacity() {
    var table = ModuleData()
    for index in 0..<UInt(ModuleData.capacity + 10) { table.insert(segment(index * 16 + 16, index * 16 + 24)) }
    #expect(table.count == ModuleData.capacity && !table.isComplete)
    #expect(reason(table, entry: 1) == nil)
  }

  @Test func readsProgramHeaders() {
    var words = [UInt64](repeating: 0, count: 21)
    func put(_ index: Int, _ type: UInt64, _ flags: UInt64, _ address: UInt64, _ size: UInt64) {
      words[index * 7] = type | flags << 32
      words[index * 7 + 2] = address
      words[index * 7 + 5] = size
    }
    put(0, 1, 4, 0, 0x1000)
    put(1, 1, 5, 0x1000, 0x800)
    put(2, 2, 7, 0x3000, 0x100)
    var table = ModuleData()
    words.withUnsafeBytes {
      table.add(
        apus_image(
          path: nil, base: 0x10000, headers: $0.baseAddress!, header_count: 3, tls: nil, is_main: false))
    }
    #expect(table.count == 1 && table.imageCount == 1)
    #expect(table[0].start == 0x11000 && table[0].end == 0x11800 && table[0].image.base == 0x10000)
  }

  @Test func collectsThisProcess() {
    let table = ModuleData.collect()
    #expect(table.imageCount > 1 && table.isComplete)
    #expect(reason(table, entry: UInt(apus_getauxval(9))) == nil)
    #expect(apus_runtime_version() == APUS_RUNTIME_VERSION)
    #expect(table.find(UInt(apus_entry_address())) != nil)
  }
}

@Suite struct BootTraceTests {
  @Test func alignsColumns() {
    #expect(
      BootTrace.line(7, "vdso_parse_symbols", 8123, "clock")
        == "  7  vdso_parse_symbols                 8123 ns  clock\n")
    #expect(BootTrace.line(12, "check", 1_000_000, "") == " 12  check                           1000000 ns\n")
  }

  @Test func evaluatesNothingWhenOff() {
    var evaluated = 0
    func detail() -> String {
      evaluated += 1
      return ""
    }
    var trace = BootTrace()
    trace.step("a", detail())
    trace.step("b", atTicks: 1, detail())
    #expect(evaluated == 0 && !trace.isOn)
    withEnvironment(["GODEBUG=boottrace=0"]) { #expect(!BootTrace(environment: $0).isOn) }
  }

  @Test func clockCountsFromTheEntry() {
    let entry = apus_ticks()
    let start = apus_nanotime(nil)
    while apus_nanotime(nil) - start < 300_000 {}
    var clock = BootClock()
    let waited = apus_nanotime(nil) - start
    clock.start(entryTicks: entry, ticksAreInvariant: true)
    let shown = clock.nanoseconds
    let realSpent = apus_nanotime(nil) - start
    #expect(clock.countsFromEntry)
    // Calibrating took half a millisecond that the clock does not show; a tick's length is good to a hundredth.
    #expect(shown >= waited * 99 / 100 && realSpent - shown >= 490_000)
    #expect(clock.nanoseconds(atTicks: entry) == 0)
  }

  @Test func clockIsTurnedBack() {
    var clock = BootClock()
    clock.start(entryTicks: 0)
    #expect(!clock.countsFromEntry)
    let before = clock.nanoseconds
    let start = apus_nanotime(nil)
    while apus_nanotime(nil) - start < 2_000_000 {}
    clock.turnBack(to: before)
    #expect(clock.nanoseconds - before < 2_000_000)
    #expect(clock.nanoseconds(atTicks: 5) == 0)
  }
}
