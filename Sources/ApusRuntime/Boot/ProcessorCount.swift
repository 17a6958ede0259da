import CApus

/// How many processors the process may use (Go's `getproccount` and `defaultGOMAXPROCS`).
package struct ProcessorCount {
  /// The processors in the affinity mask; at least 1.
  package let affinity: Int
  /// The control groups' CPU quota in processors; nil when there is none, or when it was not looked for.
  package let quota: Double?
  /// Whether the quota was looked for.
  package let quotaWasRead: Bool

  /// The number of Ps unless the user says otherwise: the affinity, or the quota where that is smaller, rounded up and
  /// at least 2. One P under a quota would run the collector and the program in turns.
  package var defaultProcessors: Int {
    guard let quota else { return affinity }
    // Not `rounded(.up)`: that is libm's ceil, and nothing here links libm.
    let limited = min(quota, 1_000_000)
    let whole = Int(limited)
    return min(affinity, max(2, Double(whole) < limited ? whole + 1 : whole))
  }

  package init(affinity: Int, quota: Double?, quotaWasRead: Bool = true) {
    self.affinity = affinity
    self.quota = quota
    self.quotaWasRead = quotaWasRead
  }

  /// Asks the kernel.
  ///
  /// - Parameter alwaysReadsQuota: reads the control groups even when the answer cannot matter. It cannot on one or two
  ///   processors, as the quota never asks for fewer than 2; and not when the user has set the number of Ps, in which
  ///   case `processorsAreSet` spares it. The files cost tens of microseconds, more than all the rest of boot.
  package static func read(processorsAreSet: Bool = false, alwaysReadsQuota: Bool = false) -> ProcessorCount {
    let affinity = readAffinity()
    if !alwaysReadsQuota && (affinity <= 2 || processorsAreSet) {
      return ProcessorCount(affinity: affinity, quota: nil, quotaWasRead: false)
    }
    let quota = CgroupQuota.read { path, buffer, isLong in
      isLong
        ? SmallFile.read(path, into: buffer) : SmallFile.readOnce(path, into: buffer)
    }
    return ProcessorCount(affinity: affinity, quota: quota)
  }

  /// The bits in the affinity mask of the calling thread, of up to 8192 processors; 1 when the kernel does not say.
  package static func readAffinity() -> Int {
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { mask in
      mask.initializeMemory(as: UInt8.self, repeating: 0)
      if apus_sched_getaffinity(mask.baseAddress, mask.count) < 0 { return 1 }
      return bits(in: UnsafeRawBufferPointer(mask))
    }
  }

  /// The bits in `mask`, a whole number of 8-byte words; at least 1.
  package static func bits(in mask: UnsafeRawBufferPointer) -> Int {
    var count = 0
    var offset = 0
    while offset + 8 <= mask.count {
      count += mask.load(fromByteOffset: offset, as: UInt64.self).nonzeroBitCount
      offset += 8
    }
    return max(count, 1)
  }
}

/// The kernel's transparent huge pages (Go's `getHugePageSize`).
package enum HugePage {
  /// Bytes in a huge page; 0 where there are none. One file of /sys, several microseconds.
  package static func readSize() -> Int {
    withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { buffer in
      let count = SmallFile.readOnce("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", into: buffer)
      return count > 0 ? size(in: ByteText(start: UnsafeRawPointer(buffer.baseAddress!), count: count)) : 0
    }
  }

  /// The size that the file's text says; 0 unless it is a power of two.
  package static func size(in text: ByteText) -> Int {
    var text = text
    guard let size = text.takeItem(before: 0x0A)?.decimal, size > 0, size & (size - 1) == 0 else { return 0 }
    return Int(exactly: size) ?? 0
  }
}
