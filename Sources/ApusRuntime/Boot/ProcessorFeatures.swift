import CApus

/// What the processor can do, as far as the runtime and its reader care (Go's CPU probe in `rt0_go` and
/// `internal/cpu`).
///
/// On x86-64 the leaves come from libc, which has read them before us: each CPUID instruction costs several
/// microseconds in a virtual machine, more than most steps of start-up. Where libc keeps none, CPUID it is.
package struct ProcessorFeatures {
  /// One bit each.
  package struct Set: OptionSet {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static var sse3: Set { Set(rawValue: 1 << 0) }
    package static var ssse3: Set { Set(rawValue: 1 << 1) }
    package static var sse41: Set { Set(rawValue: 1 << 2) }
    package static var sse42: Set { Set(rawValue: 1 << 3) }
    package static var popcnt: Set { Set(rawValue: 1 << 4) }
    package static var avx: Set { Set(rawValue: 1 << 5) }
    package static var avx2: Set { Set(rawValue: 1 << 6) }
    package static var avx512f: Set { Set(rawValue: 1 << 7) }
    package static var aes: Set { Set(rawValue: 1 << 8) }
    package static var erms: Set { Set(rawValue: 1 << 9) }
    package static var bmi1: Set { Set(rawValue: 1 << 10) }
    package static var bmi2: Set { Set(rawValue: 1 << 11) }
    package static var osxsave: Set { Set(rawValue: 1 << 12) }
    package static var rdtscp: Set { Set(rawValue: 1 << 13) }
    /// The time stamp counter runs at one rate whatever the power state; so does aarch64's counter, by definition.
    package static var invariantTSC: Set { Set(rawValue: 1 << 14) }
    /// cmpxchg8b, cmov, fxsr, mmx, sse and sse2: what Swift compiles for on x86-64.
    package static var baseline: Set { Set(rawValue: 1 << 15) }
    /// aarch64: the large system extensions' atomic instructions.
    package static var lse: Set { Set(rawValue: 1 << 16) }
  }

  /// The features that both the processor has and the operating system lets programs use.
  package private(set) var features: Set = []
  /// Bytes in a cache line as CLFLUSH has it; 64 where the processor does not say.
  package private(set) var cacheLineSize = 64

  /// Whether instructions that the compiler emits everywhere are missing. Boot ends the process with status 1 then.
  package var isTooOld: Bool { !features.contains(.baseline) }

  /// The four words of a leaf: eax, ebx, ecx, edx.
  package typealias Leaf = (eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32)

  /// Reads the features of the processor that runs this; `vector` has aarch64's.
  package static func read(_ vector: AuxiliaryVector) -> ProcessorFeatures {
    #if arch(x86_64)
      let one = leaf(APUS_CPUID_1, 1)
      let osxsave = one.ecx & 1 << 27 != 0
      return ProcessorFeatures(
        one: one, seven: leaf(APUS_CPUID_7, 7), extendedOne: leaf(APUS_CPUID_80000001, 0x8000_0001),
        extendedSeven: leaf(APUS_CPUID_80000007, 0x8000_0007), enabledStates: osxsave ? apus_xcr0() : 0)
    #else
      return ProcessorFeatures(hwcap: vector.hwcap)
    #endif
  }

  /// Puts together x86-64's features from CPUID leaves 1, 7, 0x80000001 and 0x80000007 and XCR0.
  package init(one: Leaf, seven: Leaf, extendedOne: Leaf, extendedSeven: Leaf, enabledStates: UInt64) {
    // What needs wider registers counts only if the operating system saves those at a switch.
    let savesAVX = one.ecx & 1 << 27 != 0 && enabledStates & 0x6 == 0x6
    let savesAVX512 = savesAVX && enabledStates & 0xE0 == 0xE0
    func take(_ feature: Set, if condition: Bool) { if condition { features.insert(feature) } }
    let needed: UInt32 = 1 << 8 | 1 << 15 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26
    take(.baseline, if: one.edx & needed == needed)
    take(.sse3, if: one.ecx & 1 << 0 != 0)
    take(.ssse3, if: one.ecx & 1 << 9 != 0)
    take(.sse41, if: one.ecx & 1 << 19 != 0)
    take(.sse42, if: one.ecx & 1 << 20 != 0)
    take(.popcnt, if: one.ecx & 1 << 23 != 0)
    take(.aes, if: one.ecx & 1 << 25 != 0)
    take(.osxsave, if: one.ecx & 1 << 27 != 0)
    take(.avx, if: one.ecx & 1 << 28 != 0 && savesAVX)
    take(.bmi1, if: seven.ebx & 1 << 3 != 0)
    take(.avx2, if: seven.ebx & 1 << 5 != 0 && savesAVX)
    take(.bmi2, if: seven.ebx & 1 << 8 != 0)
    take(.erms, if: seven.ebx & 1 << 9 != 0)
    take(.avx512f, if: seven.ebx & 1 << 16 != 0 && savesAVX512)
    take(.rdtscp, if: extendedOne.edx & 1 << 27 != 0)
    take(.invariantTSC, if: extendedSeven.edx & 1 << 8 != 0)
    let line = Int(one.ebx >> 8 & 0xFF) * 8
    if line > 0 { cacheLineSize = line }
  }

  /// Puts together aarch64's features from AT_HWCAP.
  package init(hwcap: UInt) {
    features = [.baseline, .invariantTSC]
    if hwcap & 1 << 3 != 0 { features.insert(.aes) }
    if hwcap & 1 << 8 != 0 { features.insert(.lse) }
  }

  /// Bytes that XSAVE needs for the register state that is switched on, thus the larger part of a signal frame; 0 where
  /// there is no XSAVE. One CPUID instruction.
  package var xsaveAreaSize: Int {
    features.contains(.osxsave) ? Int(Self.instruction(0xD).ebx) : 0
  }

  /// The vendor's twelve bytes, for the boot trace; empty where there is no CPUID. One CPUID instruction.
  package var vendor: String {
    let zero = Self.instruction(0)
    var name = ""
    for word in [zero.ebx, zero.edx, zero.ecx] {
      for shift in [0, 8, 16, 24] as [UInt32] {
        let byte = UInt8(truncatingIfNeeded: word >> shift)
        if byte >= 0x20, byte < 0x7F { name.unicodeScalars.append(Unicode.Scalar(byte)) }
      }
    }
    return name
  }

  /// The features' names, for the boot trace.
  package var description: String {
    let names: [(Set, String)] = [
      (.sse3, "sse3"), (.ssse3, "ssse3"), (.sse41, "sse4.1"), (.sse42, "sse4.2"), (.popcnt, "popcnt"), (.avx, "avx"),
      (.avx2, "avx2"), (.avx512f, "avx512f"), (.aes, "aes"), (.erms, "erms"), (.bmi1, "bmi1"), (.bmi2, "bmi2"),
      (.osxsave, "osxsave"), (.rdtscp, "rdtscp"), (.invariantTSC, "invariant-tsc"), (.lse, "lse"),
    ]
    return names.filter { features.contains($0.0) }.map(\.1).joined(separator: " ")
  }

  /// A leaf as libc kept it, or as the processor gives it.
  private static func leaf(_ index: Int32, _ number: UInt32) -> Leaf {
    var words: Leaf = (0, 0, 0, 0)
    let isKept = withUnsafeMutableBytes(of: &words) {
      apus_cpuid_kept(UInt32(index), $0.baseAddress!.assumingMemoryBound(to: UInt32.self))
    }
    if isKept != 0 { return words }
    // A leaf beyond the last one would answer with another one's contents.
    return instruction(number & 0x8000_0000).eax >= number ? instruction(number) : (0, 0, 0, 0)
  }

  private static func instruction(_ number: UInt32) -> Leaf {
    var words: Leaf = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) {
      apus_cpuid(number, 0, $0.baseAddress!.assumingMemoryBound(to: UInt32.self))
    }
    return words
  }
}
