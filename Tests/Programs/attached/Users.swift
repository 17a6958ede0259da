import CAttach
import Glibc

/// A user that has no rights.
private let nobody: uid_t = 65534

/// Becomes the program named by the first of `arguments`, as nobody. 125 is the status when the one is not possible, 126
/// when the other is not.
func runAsNobody(_ arguments: [String]) -> Never {
  guard setgroups(0, nil) == 0, setgid(nobody) == 0, setuid(nobody) == 0 else { exit(125) }
  var words = arguments.map { strdup($0) } + [nil]
  execv(arguments[0], &words)
  exit(126)
}

/// Asks the process for an answer as the command does; with `listensAsNobody` it is not root that listens, who sends the
/// signal. Says whether anything came, or the process has hung up without a word.
func ask(_ process: pid_t, listensAsNobody: Bool) {
  let number = UInt64(APUS_ATTACH_MAGIC) << 48 | UInt64.random(in: 0..<1 << 48)
  if listensAsNobody { guard seteuid(nobody) == 0 else { exit(125) } }
  let listener = attach_listen(number)
  if listensAsNobody { guard seteuid(0) == 0 else { exit(125) } }
  guard listener >= 0, let thread = requestThread(of: process) else { exit(1) }
  var connection: Int32 = -1
  while connection < 0 {
    guard attach_request(process, thread, number) == 0 else { exit(1) }
    connection = attach_accept(listener, process, 100)
  }
  var byte: UInt8 = 0
  print(attach_receive(connection, &byte, 1, 20_000) > 0 ? "greeted" : "not greeted")
}

private func requestThread(of process: pid_t) -> pid_t? {
  guard let directory = opendir("/proc/\(process)/task") else { return nil }
  defer { closedir(directory) }
  while let entry = readdir(directory) {
    let thread = withUnsafeBytes(of: entry.pointee.d_name) { atoi($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    if name(of: thread, of: process) == "apus-template\n" { return thread }
  }
  return nil
}

private func name(of thread: pid_t, of process: pid_t) -> String {
  let file = open("/proc/\(process)/task/\(thread)/comm", O_RDONLY)
  if file < 0 { return "" }
  defer { close(file) }
  return String(unsafeUninitializedCapacity: 32) { max(0, read(file, $0.baseAddress, $0.count)) }
}
