import Foundation
import Glibc

/// A process that can be asked: it runs, is the user's, and has a runtime of Apus that takes requests. Nobody else is sent
/// anything.
struct TargetProcess {
  let id: pid_t
  /// The runtime's thread that takes requests.
  let thread: pid_t

  /// - Throws: `CommandFailure`.
  init(_ id: pid_t) throws {
    self.id = id
    thread = try Self.requestThread(of: id)
  }

  private static func requestThread(of process: pid_t) throws -> pid_t {
    try check(process)
    while true {
      let found = threads(of: process).first { text(of: $0, of: process, "comm") == "apus-template\n" }
      if let found, takesRequests(found, of: process) { return found }
      // One that has just been started may not have come as far.
      if let age = age(of: process), age < 2 {
        usleep(10_000)
        continue
      }
      try check(process)
      // One that was stopped in the middle of its start tells nothing.
      if isStopped(process) { throw noAnswer(process) }
      guard found != nil else { throw CommandFailure("process \(process) is no running program of Apus") }
      throw CommandFailure("process \(process) takes no requests: it runs with GODEBUG=attach=0")
    }
  }

  private static func check(_ process: pid_t) throws {
    guard process > 0, let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else {
      throw CommandFailure("there is no process \(process)")
    }
    let leader = field("Tgid", in: status).flatMap { pid_t($0) }
    if let leader, leader != process { throw CommandFailure("\(process) is a thread of process \(leader)") }
    if field("State", in: status) == "Z" { throw CommandFailure(endOf: process) }
    // The effective one, the second, as this process has it.
    let user = status.split(separator: "\n").first { $0.hasPrefix("Uid:") }?.split(whereSeparator: \.isWhitespace)
      .dropFirst(2).first.flatMap { uid_t($0) }
    if let user, geteuid() != 0, user != geteuid() { throw CommandFailure(belongsToAnother(process)) }
  }

  static func belongsToAnother(_ process: pid_t) -> String { "process \(process) belongs to another user" }

  /// What there is to say of a process that says nothing.
  static func noAnswer(_ process: pid_t) -> CommandFailure {
    CommandFailure(
      "process \(process) does not answer"
        + (isStopped(process) ? ": it was stopped, by a signal or a debugger" : ""))
  }

  private static func isStopped(_ process: pid_t) -> Bool {
    let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    return ["T", "t"].contains(field("State", in: status ?? ""))
  }

  private static func threads(of process: pid_t) -> [pid_t] {
    let names = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")
    return names?.compactMap { pid_t($0) } ?? []
  }

  private static func text(of thread: pid_t, of process: pid_t, _ file: String) -> String? {
    try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/\(file)", encoding: .utf8)
  }

  private static func takesRequests(_ thread: pid_t, of process: pid_t) -> Bool {
    let blocked = text(of: thread, of: process, "status").flatMap { field("SigBlk", in: $0) }
    return blocked.flatMap { UInt64($0, radix: 16) }.map { $0 & 1 << (SIGURG - 1) == 0 } ?? false
  }

  /// The first word of the line called `name`.
  private static func field(_ name: String, in status: String) -> Substring? {
    let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first
  }

  /// For how many seconds the process has run.
  private static func age(of process: pid_t) -> Double? {
    // Behind the command, which may contain anything: the time of its start is the twentieth field there.
    guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let uptime = try? String(contentsOfFile: "/proc/uptime", encoding: .utf8).split(separator: " ").first,
      let end = stat.lastIndex(of: ")")
    else { return nil }
    let fields = stat[end...].split(separator: " ")
    guard fields.count > 20, let start = Double(fields[20]), let now = Double(uptime) else { return nil }
    return now - start / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}
