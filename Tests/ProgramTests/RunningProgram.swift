import Foundation
import Glibc

/// A program that runs, so that it can be looked at. Its standard input stays open, and nothing comes there.
final class RunningProgram {
  let process: pid_t
  private let input: Pipe
  private let output: Pipe
  private var hasEnded = false

  /// - Throws: `HarnessError` when the program cannot be started.
  init(
    _ executable: String, _ arguments: [String], environment: [String: String],
    errors: FileHandle = .standardError
  ) throws {
    (input, output) = (Pipe(), Pipe())
    let (reading, writing) = (input.fileHandleForReading, output.fileHandleForWriting)
    // Of its own ends it has only what `spawn` makes of them.
    for file in [reading, input.fileHandleForWriting, output.fileHandleForReading, writing] {
      _ = fcntl(file.fileDescriptor, F_SETFD, FD_CLOEXEC)
    }
    process = try spawn(
      executable, arguments, environment,
      streams: [reading.fileDescriptor, writing.fileDescriptor, errors.fileDescriptor])
    try reading.close()
    try writing.close()
  }

  deinit {
    if hasEnded { return }
    kill(-process, SIGKILL)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
  }

  /// Writes a byte to its standard input.
  func sendWord() throws { try input.fileHandleForWriting.write(contentsOf: Data([10])) }

  /// Waits for its end: the exit status, or below zero the signal that has ended it.
  /// - Throws: `HarnessError` when it has not ended within `seconds`.
  func end(within seconds: Double = 30) throws -> Int32 {
    var status: Int32 = 0
    let end = ContinuousClock.now + .seconds(seconds)
    while waitpid(process, &status, WNOHANG) != process {
      if ContinuousClock.now > end { throw HarnessError(call: "waitpid", number: ETIMEDOUT) }
      usleep(1000)
    }
    hasEnded = true
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : -signal
  }

  /// The names of its threads.
  func threads() throws -> [String] {
    let tasks = "/proc/\(process)/task"
    return try FileManager.default.contentsOfDirectory(atPath: tasks).compactMap {
      try? String(contentsOfFile: "\(tasks)/\($0)/comm", encoding: .utf8).trimmingCharacters(in: .newlines)
    }
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

  /// The most memory that it has had at once, in KiB.
  func peakMemory() throws -> Int {
    let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
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
