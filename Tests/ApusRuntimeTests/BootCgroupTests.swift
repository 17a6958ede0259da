import ApusRuntime
import CApus
import Testing

/// Files by path, and the paths that were asked for.
private final class FakeFiles {
  let files: [String: String]
  var asked: [String] = []

  init(_ files: [String: String]) { self.files = files }

  func quota() -> Double? {
    CgroupQuota.read { path, buffer, _ in
      let path = String(cString: path)
      asked.append(path)
      guard let text = files[path] else { return -2 }
      let bytes = Array(text.utf8.prefix(buffer.count))
      buffer.copyBytes(from: bytes)
      return bytes.count
    }
  }
}

private let hybrid = """
  12:cpuset:/docker/abc
  11:cpuacct,cpu:/docker/abc
  1:name=systemd:/docker/abc
  0::/system.slice/x

  """

@Suite struct BootCgroupTests {
  private func group(_ text: String) -> (String, CgroupQuota.Version)? {
    var text = text
    return text.withUTF8 { bytes in
      CgroupQuota.group(in: ByteText(UnsafeRawBufferPointer(bytes))).map {
        (
          String(decoding: UnsafeRawBufferPointer(start: $0.path.start, count: $0.path.count), as: UTF8.self),
          $0.version
        )
      }
    }
  }

  @Test func findsTheGroup() throws {
    #expect(try #require(group("0::/\n")) == ("/", .v2))
    #expect(
      try #require(group("0::/user.slice/user-1000.slice/s.scope\n")) == ("/user.slice/user-1000.slice/s.scope", .v2))
    #expect(try #require(group(hybrid)) == ("/docker/abc", .v1))
    #expect(try #require(group("3:cpuset:/a\n2:cpuacct:/b\n0::/c:d\n")) == ("/c:d", .v2))
    #expect(try #require(group("nonsense\n0:\n0::relative\n4:cpu:/x")) == ("/x", .v1))
    #expect(group("") == nil)
    #expect(group("3:cpuset:/a\n") == nil)
  }

  private func limit(_ text: String) -> Double? {
    text.withCString { CgroupQuota.limit(cpuMax: ByteText(cString: $0)) }
  }

  @Test func readsCPUMax() {
    #expect(limit("150000 100000\n") == 1.5)
    #expect(limit("50000 100000") == 0.5)
    #expect(limit("max 100000\n") == nil)
    #expect(limit("100000 0\n") == nil)
    #expect(limit("100000\n") == nil)
    #expect(limit("") == nil)
    #expect(limit("-1 100000\n") == nil)
    #expect(limit("9999999999999999999999 1\n") == nil)
  }

  private func find(_ group: String, _ version: CgroupQuota.Version, _ table: String) -> String? {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 1)
    defer { memory.deallocate() }
    var path = CgroupPath(memory)
    let found = group.withCString { group in
      table.withCString {
        CgroupQuota.find(ByteText(cString: group), version, mountTable: ByteText(cString: $0), &path)
      }
    }
    guard found else { return nil }
    return String(decoding: UnsafeRawBufferPointer(start: path.text.start, count: path.text.count), as: UTF8.self)
  }

  @Test func findsMounts() {
    let second =
      "24 1 0:21 / /proc rw - proc proc rw\n35 24 0:30 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    #expect(find("/", .v2, second) == "/sys/fs/cgroup")
    #expect(find("/a/b", .v2, second) == "/sys/fs/cgroup/a/b")
    #expect(find("/a/b", .v1, second) == nil)
    #expect(find("/../x", .v2, second) == nil)
    #expect(find("/..x", .v2, second) == "/sys/fs/cgroup/..x")
    let first =
      "31 23 0:28 / /cg rw - cgroup cgroup rw,cpuset\n32 23 0:29 /docker/abc /cg/cpu rw shared:1 master:2 - cgroup none rw,cpuacct,cpu\n"
    #expect(find("/docker/abc", .v1, first) == "/cg/cpu")
    #expect(find("/docker/abc/d", .v1, first) == "/cg/cpu/d")
    #expect(find("/docker/abcd", .v1, first) == nil)
    #expect(find("/docker", .v1, first) == nil)
    #expect(find("/../../x", .v2, "1 2 0:3 /../.. /m rw - cgroup2 c rw\n") == "/m/x")
  }

  @Test func undoesEscapes() {
    #expect(find("/", .v2, "1 2 0:3 / /my\\040dir\\134x rw - cgroup2 c rw\n") == "/my dir\\x")
    #expect(find("/a b/c", .v2, "1 2 0:3 /a\\040b /m rw - cgroup2 c rw\n") == "/m/c")
    for bad in ["/m\\04", "/m\\", "/m\\999", "/m\\777"] {
      #expect(find("/", .v2, "1 2 0:3 / \(bad) rw - cgroup2 c rw\n") == nil)
    }
  }

  @Test func passesOverMalformedMounts() {
    #expect(
      find("/", .v2, "\n1\n1 2 3\n1 2 3 / /m rw\n1 2 3 / /m rw - cgroup2\n1 2 3 / /ok rw - cgroup2 c rw") == "/ok")
    let long = String(repeating: "y", count: 300)
    #expect(find("/", .v2, "1 2 0:3 / /\(long) rw - cgroup2 c rw\n") == nil)
    #expect(find("/\(long)", .v2, "1 2 0:3 / /m rw - cgroup2 c rw\n") == nil)
  }

  @Test func takesTheSmallestOfSecondVersion() {
    let files = FakeFiles([
      "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
      "/sys/fs/cgroup/a/cpu.max": "250000 100000\n", "/sys/fs/cgroup/cpu.max": "400000 100000\n",
    ])
    #expect(files.quota() == 2.5)
    #expect(!files.asked.contains("/proc/self/mountinfo"))
  }

  @Test func takesTheSmallestOfFirstVersion() {
    let files = FakeFiles([
      "/proc/self/cgroup": hybrid,
      "/proc/self/mountinfo": "1 2 0:3 /docker /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
      "/cg/cpu,cpuacct/abc/cpu.cfs_quota_us": "-1\n", "/cg/cpu,cpuacct/abc/cpu.cfs_period_us": "100000\n",
      "/cg/cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "/cg/cpu,cpuacct/cpu.cfs_period_us": "200000\n",
    ])
    #expect(files.quota() == 1.5)
    #expect(!files.asked.contains("/cg/cpu,cpuacct/abc/cpu.cfs_period_us"))
  }

  @Test func stopsEarlyAtAnUnlimitedRoot() {
    let files = FakeFiles(["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cgroup.controllers": "cpu io\n"])
    #expect(files.quota() == nil)
    #expect(!files.asked.contains("/proc/self/mountinfo"))
    #expect(FakeFiles([:]).quota() == nil)
  }

  @Test func looksElsewhereForAGroupOutside() {
    let files = FakeFiles([
      "/proc/self/cgroup": "0::/../x\n", "/sys/fs/cgroup/../x/cpu.max": "1 1\n",
      "/proc/self/mountinfo": "1 2 0:3 / /m rw - cgroup2 c rw\n",
    ])
    #expect(files.quota() == nil)
  }

  @Test func choosesTheNumberOfProcessors() {
    #expect(ProcessorCount(affinity: 8, quota: nil).defaultProcessors == 8)
    #expect(ProcessorCount(affinity: 8, quota: 0.5).defaultProcessors == 2)
    #expect(ProcessorCount(affinity: 8, quota: 2.0).defaultProcessors == 2)
    #expect(ProcessorCount(affinity: 8, quota: 2.1).defaultProcessors == 3)
    #expect(ProcessorCount(affinity: 8, quota: 100).defaultProcessors == 8)
    #expect(ProcessorCount(affinity: 1, quota: 0.5).defaultProcessors == 1)
    #expect(ProcessorCount(affinity: 8, quota: 1e300).defaultProcessors == 8)
  }

  @Test func countsProcessors() {
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { mask in
      mask.initializeMemory(as: UInt8.self, repeating: 0)
      #expect(ProcessorCount.bits(in: UnsafeRawBufferPointer(mask)) == 1)
      mask[0] = 0b1010_0001
      mask[1023] = 0x80
      #expect(ProcessorCount.bits(in: UnsafeRawBufferPointer(mask)) == 4)
    }
    let count = ProcessorCount.read(alwaysReadsQuota: true)
    #expect(count.affinity >= 1 && count.quotaWasRead)
    #expect(!ProcessorCount.read(processorsAreSet: true).quotaWasRead)
  }

  @Test func readsHugePageSize() {
    func size(_ text: String) -> Int { text.withCString { HugePage.size(in: ByteText(cString: $0)) } }
    #expect(size("2097152\n") == 2_097_152)
    #expect(size("2097151\n") == 0)
    #expect(size("x\n") == 0)
    #expect(size("") == 0)
    #expect(HugePage.readSize() >= 0)
  }
}

@Suite struct BootSmallFileTests {
  @Test func readsAndReports() {
    withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { buffer in
      #expect(SmallFile.read("/proc/self/mountinfo", into: buffer) == 16)
      #expect(SmallFile.read("/nowhere/at/all", into: buffer) == -2)
      #expect(SmallFile.readOnce("/nowhere/at/all", into: buffer) == -2)
      #expect(SmallFile.read("/proc/self", into: buffer) == -21)
    }
  }
}
