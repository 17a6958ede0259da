import Foundation
import Glibc

/// A program that runs, so that it can be looked at. Its standard input stays open, and nothing comes there.
final class RunningProgram {
  private let process: pid_t
  private let input: Pipe
  private let output: Pipe

  /// - Throws: `HarnessError` when the program cannot be started.
  init(_ executable: String, _ arguments: [String], environment: [String: String]) throws {
    (input, output) = (Pipe(), Pipe())
    let (reading, writing) = (input.fileHandleForReading, output.fileHandleForWriting)
    // Of its own ends it has only what `spawn` makes of them.
    for file in [reading, input.fileHandleForWriting, output.fileHandleForReading, writing] {
      _ = fcntl(file.fileDescriptor, F_SETFD, FD_CLOEXEC)
    }
    process = try spawn(
      executable, arguments, environment,
      streams: [reading.fileDescriptor, writing.fileDescriptor, STDERR_FILENO])
    try reading.close()
    try writing.close()
  }

  deinit {
    kill(-process, SIGKILL)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
  }

  /// Waits for the first bytes of its standard output; "" when it ends before.
  func firstOutput() -> String { String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }

  /// How often its threads have gone to sleep so far, and how many there are.
  ///
  /// The figures of a thread that has ended are gone: the sum may fall.
  func voluntarySwitches() throws -> (threads: Int, switches: Int) {
    let tasks = "/proc/\(process)/task"
    var sum = 0
    let threads = try FileManager.default.contentsOfDirectory(atPath: tasks)
    for thread in threads {
      let status = try String(contentsOfFile: "\(tasks)/\(thread)/status", encoding: .utf8)
      for line in status.split(separator: "\n") where line.hasPrefix("voluntary_ctxt_switches:") {
        sum += Int(line.split(whereSeparator: \.isWhitespace).last ?? "") ?? 0
      }
    }
    return (threads.count, sum)
  }

  /// The system call in which its thread called `name` sleeps, as the kernel's file has it: its number and arguments.
  func systemCall(ofThread name: String) throws -> [Substring] {
    let tasks = "/proc/\(process)/task"
    for thread in try FileManager.default.contentsOfDirectory(atPath: tasks) {
      if try String(contentsOfFile: "\(tasks)/\(thread)/comm", encoding: .utf8) != name + "\n" { continue }
      return try String(contentsOfFile: "\(tasks)/\(thread)/syscall", encoding: .utf8).split(separator: " ")
    }
    return []
  }

  /// The CPU time that it has used, in seconds.
  func cpuTime() throws -> Double {
    let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
    // Behind the command, which may contain anything: utime and stime are the twelfth and thirteenth there.
    let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
    guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else { return .nan }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}
