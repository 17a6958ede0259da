import CApus

/// What the kernel left above the stack pointer when it entered the process: the arguments, the environment and the
/// auxiliary vector (Go's `sysargs` and `sysauxv`).
///
/// The pointers are into the initial stack, which lives as long as the process. A field whose entry the kernel did not
/// give is 0 or nil.
package struct AuxiliaryVector {
  /// AT_PAGESZ: bytes in a page; 4096 when the kernel did not say.
  package private(set) var pageSize = 4096
  /// AT_RANDOM: 16 bytes of the kernel's randomness.
  package private(set) var random: UnsafeRawPointer?
  /// AT_SYSINFO_EHDR: the ELF header of the vDSO; 0 where there is none.
  package private(set) var sysinfoEHDR: UInt = 0
  /// AT_HWCAP: on x86-64 the edx of CPUID leaf 1, on aarch64 the processor's features.
  package private(set) var hwcap: UInt = 0
  /// AT_MINSIGSTKSZ: bytes that the kernel needs for a signal frame; 0 before Linux 5.14 (x86-64).
  package private(set) var minSignalStackSize = 0
  /// AT_ENTRY: the program's entry point.
  package private(set) var entry: UInt = 0
  /// AT_SECURE: the program runs with more rights than its caller (set-user-ID and the like).
  package private(set) var isSecure = false
  /// How many entries there were.
  package private(set) var count = 0

  /// The number of arguments, the program's name included.
  package private(set) var argumentCount = 0
  /// The arguments, ended by nil.
  package private(set) var arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>?
  /// The environment, ended by nil.
  package private(set) var environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
  /// Whether all of this came from the initial stack, that is, whether our entry point ran.
  package let isFromInitialStack: Bool

  /// Reads what there is: the initial stack when our entry point ran, else what libc and the standard library kept.
  package static func read() -> AuxiliaryVector {
    if let stack = UnsafeRawPointer(bitPattern: apus_get_initial_sp()) {
      return AuxiliaryVector(initialStack: stack)
    }
    return AuxiliaryVector(environment: apus_environ(), value: { apus_getauxval($0) })
  }

  /// Parses the words at `stack`: argc, argv, nil, the environment, nil, then pairs up to AT_NULL.
  package init(initialStack stack: UnsafeRawPointer) {
    isFromInitialStack = true
    argumentCount = max(stack.load(as: Int.self), 0)
    let words = (stack + MemoryLayout<Int>.stride).assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
    arguments = words
    let environment = words + argumentCount + 1
    self.environment = environment
    var environmentCount = 0
    while environment[environmentCount] != nil { environmentCount += 1 }
    var pair = UnsafeRawPointer(environment + environmentCount + 1)
    while true {
      let type = pair.load(as: UInt.self)
      if type == 0 { break }  // AT_NULL
      take(type, pair.load(fromByteOffset: 8, as: UInt.self))
      count += 1
      pair += 16
    }
  }

  /// Asks `value` (getauxval, which says 0 for what is missing) for each entry that boot uses; `count` counts those
  /// that had a value. The arguments are the standard library's, which reads them from /proc/self/cmdline.
  package init(environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, value: (UInt) -> UInt) {
    isFromInitialStack = false
    self.environment = environment.map { UnsafePointer($0) }
    argumentCount = Int(CommandLine.argc)
    arguments = UnsafePointer(CommandLine.unsafeArgv)
    var type: UInt = 6
    while type <= 51 {
      let found = Self.isUsed(type) ? value(type) : 0
      if found != 0 {
        take(type, found)
        count += 1
      }
      type += 1
    }
  }

  private static func isUsed(_ type: UInt) -> Bool {
    switch type {
    case 6, 9, 16, 23, 25, 33, 51: true
    default: false
    }
  }

  private mutating func take(_ type: UInt, _ value: UInt) {
    switch type {
    case 6: if value > 0, value <= 1 << 30 { pageSize = Int(value) }
    case 9: entry = value
    case 16: hwcap = value
    case 23: isSecure = value != 0
    case 25: random = UnsafeRawPointer(bitPattern: value)
    case 33: sysinfoEHDR = value
    case 51: if value <= 1 << 30 { minSignalStackSize = Int(value) }
    default: break
    }
  }
}
