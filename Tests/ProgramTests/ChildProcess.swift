import Foundation
import Glibc

/// What a program left behind.
struct ProgramResult: Sendable {
  /// The exit status; nil when a signal ended the program.
  var status: Int32?
  /// The signal that ended the program; nil when it exited.
  var signal: Int32?
  /// Everything that the program wrote to its standard output.
  var output: String
  /// Everything that the program wrote to its standard error.
  var errors: String
  /// The time limit passed and the program was killed.
  var timedOut: Bool
  /// From the start of the program to its end.
  var elapsed: Duration
  /// Processes that it has started were still there when it had ended.
  var leftProcesses = false
  /// The number that it had as a process.
  var process: pid_t = 0
  /// The kernel has made a core file of it, or has handed one to the program that takes them.
  var hasDumpedCore = false

  /// The lines of the standard error, without empty ones.
  var errorLines: [Substring] { errors.split(whereSeparator: \.isNewline) }
}

extension ProgramResult: CustomStringConvertible {
  var description: String {
    let end = timedOut ? "timed out" : status.map { "status \($0)" } ?? "signal \(signal ?? 0)"
    return "\(end) after \(elapsed)\n--- output\n\(output.suffix(4000))\n--- errors\n\(errors.prefix(4000))"
  }
}

/// A system call of the harness itself failed.
struct HarnessError: Error, CustomStringConvertible {
  var call: String
  var number: Int32
  var description: String { "\(call): \(String(cString: strerror(number)))" }
}

/// Runs `executable` (a path) as a child process and waits for its end, on the calling thread.
///
/// The three standard streams are unnamed files: a child can then fill both of its outputs in any order without ever
/// waiting for the reader, and a grandchild that keeps them open delays nobody. The child leads a process group of its
/// own, which is killed after `timeout`.
/// - Parameter environment: The whole environment of the child.
/// - Throws: `HarnessError` when the program cannot be started.
func run(
  _ executable: String, _ arguments: [String] = [], environment: [String: String] = inheritedEnvironment(),
  input: String = "", timeout: Duration = .seconds(60)
) throws -> ProgramResult {
  let input = try UnnamedFile(containing: input)
  let output = try UnnamedFile()
  let errors = try UnnamedFile()
  let clock = ContinuousClock()
  let start = clock.now
  let child = try spawn(
    executable, arguments, environment, streams: [input.descriptor, output.descriptor, errors.descriptor])

  var waitStatus: Int32 = 0
  var timedOut = false
  while true {
    let ended = waitpid(child, &waitStatus, timedOut ? 0 : WNOHANG)
    if ended == child { break }
    if ended < 0 && errno != EINTR { throw HarnessError(call: "waitpid", number: errno) }
    if !timedOut && clock.now - start > timeout {
      timedOut = true
      kill(-child, SIGKILL)
    }
    if !timedOut { usleep(1000) }
  }

  let signal = waitStatus & 0x7f
  return ProgramResult(
    status: signal == 0 ? (waitStatus >> 8) & 0xff : nil, signal: signal == 0 ? nil : signal,
    output: try output.contents(), errors: try errors.contents(), timedOut: timedOut, elapsed: clock.now - start,
    leftProcesses: kill(-child, 0) == 0, process: child, hasDumpedCore: waitStatus & 0x80 != 0)
}

/// The environment of the tests without the variables that change what a program prints, and with `changes`. GOMAXPROCS
/// stays: the whole suite is meant to run under different values of it.
func inheritedEnvironment(_ changes: [String: String] = [:]) -> [String: String] {
  var environment = ProcessInfo.processInfo.environment
  for key in ["GODEBUG", "GOTRACEBACK", "APUS_SHELVE", "APUS_STACK", "APUS_TRACE"] { environment[key] = nil }
  return environment.merging(changes) { $1 }
}

/// Programs that die of a signal leave no core files, but where one asks for it itself: whoever runs the tests may have
/// asked for files everywhere.
private let coreFilesAreOff: Void = {
  let resource = __rlimit_resource_t(RLIMIT_CORE.rawValue)
  var limit = rlimit()
  if getrlimit(resource, &limit) == 0 {
    limit.rlim_cur = 0
    setrlimit(resource, &limit)
  }
}()

/// Starts the program in a process group of its own, with an empty signal mask and `streams` as descriptors 0, 1, 2.
func spawn(
  _ executable: String, _ arguments: [String], _ environment: [String: String], streams: [Int32]
) throws -> pid_t {
  coreFilesAreOff
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  for (number, descriptor) in streams.enumerated() {
    posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
  }

  var attributes = posix_spawnattr_t()
  var noSignals = sigset_t()
  sigemptyset(&noSignals)
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  posix_spawnattr_setpgroup(&attributes, 0)
  posix_spawnattr_setsigmask(&attributes, &noSignals)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGMASK))

  var argv = ([executable] + arguments).map { strdup($0) } + [nil]
  var envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
  defer { for string in argv + envp { free(string) } }
  var child: pid_t = 0
  let error = posix_spawn(&child, executable, &actions, &attributes, &argv, &envp)
  if error != 0 { throw HarnessError(call: "posix_spawn \(executable)", number: error) }
  return child
}

/// A file without a name, closed with its last reference.
private final class UnnamedFile {
  private let file: UnsafeMutablePointer<FILE>

  /// A file that holds `text`, at its beginning.
  init(containing text: String = "") throws {
    guard let file = tmpfile() else { throw HarnessError(call: "tmpfile", number: errno) }
    self.file = file
    // A program that another test starts at this moment must not inherit it.
    _ = fcntl(fileno(file), F_SETFD, FD_CLOEXEC)
    let bytes = Array(text.utf8)
    if fwrite(bytes, 1, bytes.count, file) != bytes.count || fflush(file) != 0 {
      throw HarnessError(call: "fwrite", number: errno)
    }
    rewind(file)
  }

  deinit { fclose(file) }

  var descriptor: Int32 { fileno(file) }

  /// The whole file as text; bytes that are no UTF-8 become replacement characters.
  func contents() throws -> String {
    var status = stat()
    if fstat(descriptor, &status) != 0 { throw HarnessError(call: "fstat", number: errno) }
    let size = Int(status.st_size)
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      count = max(0, pread(descriptor, buffer.baseAddress, size, 0))
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
