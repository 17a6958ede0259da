/// The CPU quota of the control group that the process runs in (Go's `internal/runtime/cgroup`), in CPUs.
///
/// Go reads the limit of the process's own group. Here it is the smallest along the path up to the mount point, since
/// a group cannot get more than those above it.
package enum CgroupQuota {
  package enum Version { case v1, v2 }

  /// Reads a file into a buffer as `SmallFile` does. `isLong` asks for more than one read.
  package typealias Reader = (_ path: UnsafePointer<CChar>, _ into: UnsafeMutableRawBufferPointer, _ isLong: Bool)
    -> Int

  /// As much of /proc/self/mountinfo as is looked at: about two thousand mounts. Pages that stay empty cost nothing.
  private static var longestMountTable: Int { 1 << 18 }
  private static var longestGroupTable: Int { 1 << 13 }
  /// PATH_MAX and room for the name of a file in the group.
  private static var longestPath: Int { 4096 + 64 }

  /// The quota, or nil when nothing limits the process, there are no control groups, or their files are not understood.
  ///
  /// The place where systemd and containers mount the hierarchy is tried first, since producing mountinfo costs the
  /// kernel more than all else here.
  package static func read(_ reader: Reader) -> Double? {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: longestGroupTable + longestPath, alignment: 1)
    defer { memory.deallocate() }
    let table = UnsafeMutableRawBufferPointer(rebasing: memory[..<longestGroupTable])
    var path = CgroupPath(UnsafeMutableRawBufferPointer(rebasing: memory[longestGroupTable...]))

    let count = ("/proc/self/cgroup" as StaticString).withCPath { reader($0, table, false) }
    guard count > 0, let (group, version) = group(in: ByteText(UnsafeRawBufferPointer(rebasing: table[..<count])))
    else { return nil }
    let isOutside = group.hasPrefix("/..")
    if !isOutside, path.set(mountPoint: version == .v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group: group),
      let found = walk(&path, version, reader)
    {
      return found.limit
    }

    let mounts = UnsafeMutableRawBufferPointer.allocate(byteCount: longestMountTable, alignment: 1)
    defer { mounts.deallocate() }
    let length = ("/proc/self/mountinfo" as StaticString).withCPath { reader($0, mounts, true) }
    guard length > 0,
      find(group, version, mountTable: ByteText(UnsafeRawBufferPointer(rebasing: mounts[..<length])), &path)
    else { return nil }
    return smallest(&path, version, reader)
  }

  /// The process's group in the hierarchy that governs CPU time, from the text of /proc/self/cgroup: lines of
  /// `hierarchy:controllers:path`. A version 1 hierarchy with the controller `cpu` goes before version 2's, number 0,
  /// as a controller is in one hierarchy only. Lines that are no such are passed over.
  package static func group(in text: ByteText) -> (path: ByteText, version: Version)? {
    var rest = text
    var second: ByteText?
    while var line = rest.takeItem(before: 0x0A) {
      guard let hierarchy = line.takeField(before: 0x3A), let controllers = line.takeField(before: 0x3A),
        line.hasPrefix("/")
      else { continue }
      if hierarchy.equals("0") {
        second = line
      } else if containsCPU(controllers) {
        return (line, .v1)
      }
    }
    return second.map { ($0, .v2) }
  }

  /// Whether the comma-separated `list` has the item `cpu`.
  package static func containsCPU(_ list: ByteText) -> Bool {
    var rest = list
    while let item = rest.takeItem(before: 0x2C) {
      if item.equals("cpu") { return true }
    }
    return false
  }

  /// Finds the mount in the text of /proc/self/mountinfo through which `group` can be seen, and makes `path` the group's
  /// directory in it. False when there is none.
  ///
  /// A line: `id parent device root mountpoint options [tag...] - type source superoptions`, blanks in paths written as
  /// octal escapes. A mount shows the groups below its root only.
  package static func find(
    _ group: ByteText, _ version: Version, mountTable text: ByteText, _ path: inout CgroupPath
  ) -> Bool {
    var rest = text
    while var line = rest.takeItem(before: 0x0A) {
      guard line.takeField(before: 0x20) != nil, line.takeField(before: 0x20) != nil,
        line.takeField(before: 0x20) != nil,
        let root = line.takeField(before: 0x20), root.hasPrefix("/"),
        let mountPoint = line.takeField(before: 0x20),
        skipOptionalFields(&line),
        let type = line.takeField(before: 0x20)
      else { continue }
      switch version {
      case .v2: if !type.equals("cgroup2") { continue }
      case .v1:
        if !type.equals("cgroup") || line.takeField(before: 0x20) == nil || !containsCPU(line) { continue }
      }
      guard let length = CgroupPath.lengthInGroup(ofEscaped: root, group) else { continue }
      // Of the root "/" nothing is taken away: what follows has to begin with the slash.
      let inside = length == 1 ? group : group.dropFirst(length)
      // Beyond the root of our cgroup namespace: this mount does not reach it.
      if inside.hasPrefix("/..") && (inside.count == 3 || inside[3] == 0x2F) { continue }
      return path.set(mountPoint: mountPoint, group: inside)
    }
    return false
  }

  /// Leaves `line` behind the field `-`, which ends the optional ones.
  private static func skipOptionalFields(_ line: inout ByteText) -> Bool {
    while let field = line.takeField(before: 0x20) {
      if field.equals("-") { return true }
    }
    return false
  }

  /// The limit in the text of version 2's cpu.max: `quota period`, or `max period` for none. nil when there is none or
  /// the text is something else.
  package static func limit(cpuMax text: ByteText) -> Double? {
    var rest = text
    guard var line = rest.takeItem(before: 0x0A), let quota = line.takeField(before: 0x20) else { return nil }
    return ratio(quota.decimal, line.decimal)
  }

  /// The limit in the texts of version 1's cpu.cfs_quota_us (-1 for none) and cpu.cfs_period_us.
  package static func limit(quota: ByteText, period: ByteText) -> Double? {
    var quota = quota
    var period = period
    return ratio(quota.takeItem(before: 0x0A)?.decimal, period.takeItem(before: 0x0A)?.decimal)
  }

  private static func ratio(_ quota: UInt64?, _ period: UInt64?) -> Double? {
    guard let quota, let period, quota > 0, period > 0 else { return nil }
    return Double(quota) / Double(period)
  }

  private struct Walk { let limit: Double? }

  /// The smallest limit of the groups from `path` up to the mount point; nil when there is none.
  package static func smallest(_ path: inout CgroupPath, _ version: Version, _ reader: Reader) -> Double? {
    walk(&path, version, reader)?.limit
  }

  /// The same; nil when `path` is no group, with nothing said about those above it.
  private static func walk(_ path: inout CgroupPath, _ version: Version, _ reader: Reader) -> Walk? {
    withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { buffer in
      let text = UnsafeMutableRawBufferPointer(rebasing: buffer[..<64])
      let other = UnsafeMutableRawBufferPointer(rebasing: buffer[64...])
      let name: StaticString = version == .v2 ? "/cpu.max" : "/cpu.cfs_quota_us"
      var count = path.withFile(name) { reader($0, text, false) }
      if count < 0 {
        // Version 2 shows cpu.max only where the controller is enabled, and never at the root, but cgroup.controllers
        // always.
        guard version == .v2, path.withFile("/cgroup.controllers", { reader($0, other, false) }) >= 0 else {
          return nil
        }
      }
      var smallest: Double?
      while true {
        if count > 0,
          let limit = limit(in: ByteText(start: text.baseAddress!, count: count), path, version, other, reader)
        {
          smallest = min(smallest ?? limit, limit)
        }
        if !path.goUp() { return Walk(limit: smallest) }
        count = path.withFile(name) { reader($0, text, false) }
      }
    }
  }

  /// The limit that the file `text` of the group `path` says; `buffer` is for version 1's second file.
  private static func limit(
    in text: ByteText, _ path: CgroupPath, _ version: Version, _ buffer: UnsafeMutableRawBufferPointer,
    _ reader: Reader
  ) -> Double? {
    if version == .v2 { return limit(cpuMax: text) }
    if text[0] == 0x2D { return nil }  // a negative quota is none; the period need not be read then
    let count = path.withFile("/cpu.cfs_period_us") { reader($0, buffer, false) }
    return count > 0 ? limit(quota: text, period: ByteText(start: buffer.baseAddress!, count: count)) : nil
  }
}

extension StaticString {
  /// Calls `body` with the literal as a C string.
  fileprivate func withCPath<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
    utf8Start.withMemoryRebound(to: CChar.self, capacity: utf8CodeUnitCount + 1, body)
  }
}
