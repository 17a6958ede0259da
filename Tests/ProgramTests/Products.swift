import Foundation
import Glibc

/// The path of an executable of this package, as built with the tests: they lie in one directory.
func product(_ name: String) throws -> String {
  let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
  return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent(name).path
}

/// Whether the tests, and so the programs beside them, were built without optimization.
let isDebug: Bool = {
  #if DEBUG
    true
  #else
    false
  #endif
}()

/// What the example `name` has to print: `expected.txt` beside its source.
func expectedOutput(ofExample name: String, file: String = #filePath) throws -> String {
  let root = URL(fileURLWithPath: file).deletingLastPathComponent().appendingPathComponent("../..")
  return try String(contentsOf: root.appendingPathComponent("Examples/\(name)/expected.txt"), encoding: .utf8)
}

/// How many threads this machine lets one more process have: the least of the kernel's, the user's and the cgroup's
/// limit. `Int.max` where none can be read.
func threadBudget() -> Int {
  var limit = rlimit()
  let known = getrlimit(__rlimit_resource_t(__RLIMIT_NPROC.rawValue), &limit) == 0
  var budget = known ? Int(clamping: limit.rlim_cur) : .max
  let files = ["/proc/sys/kernel/threads-max", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"]
  for file in files {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { continue }
    if let value = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) { budget = min(budget, value) }
  }
  return budget
}
