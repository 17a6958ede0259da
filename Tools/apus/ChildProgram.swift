import Foundation
import Glibc

/// A program that is run with the standard input and output of this one. What it writes to its standard error is looked at
/// on its way.
struct ChildProgram {
  private let process: pid_t
  private let errors: Int32

  /// - Parameter program: A path, or a name that is looked for in PATH.
  /// - Throws: `CommandFailure`.
  init(_ program: String, _ arguments: [String], environment: [String: String]) throws {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw CommandFailure("pipe: \(String(cString: strerror(errno)))") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // What a terminal sends goes to both: this program waits for what the other makes of it.
    signal(SIGINT, SIG_IGN)
    signal(SIGQUIT, SIG_IGN)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var defaults = sigset_t()
    sigemptyset(&defaults)
    sigaddset(&defaults, SIGINT)
    sigaddset(&defaults, SIGQUIT)
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    var argv = ([program] + arguments).map { strdup($0) } + [nil]
    var envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    var child: pid_t = 0
    let error = posix_spawnp(&child, program, &actions, &attributes, &argv, &envp)
    for string in argv + envp { free(string) }
    posix_spawnattr_destroy(&attributes)
    posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    if error != 0 { throw CommandFailure("\(program): cannot be run: \(String(cString: strerror(error)))") }
    (process, errors) = (child, ends[0])
  }

  /// Calls `body` with what the program writes to its standard error, as it comes, until the program has ended.
  func forEachError(_ body: ([UInt8]) -> Void) {
    var hasEnded = false
    while true {
      var wanted = pollfd(fd: errors, events: Int16(POLLIN), revents: 0)
      // Its own children may keep the other end for ever.
      let ready = poll(&wanted, 1, hasEnded ? 0 : 20)
      if ready > 0 {
        let bytes = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
          count = max(read(errors, buffer.baseAddress, buffer.count), 0)
        }
        if bytes.isEmpty { return }
        body(bytes)
      } else if hasEnded {
        return
      } else {
        var info = siginfo_t()
        waitid(P_PID, id_t(process), &info, WEXITED | WNOHANG | WNOWAIT)
        hasEnded = info.si_signo == SIGCHLD
      }
    }
  }

  /// Waits for the end of the program; its exit status. A signal that has ended it ends this process, too.
  func end() -> Int32 {
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    let ending = status & 0x7f
    if ending == 0 { return (status >> 8) & 0xff }
    // One core dump is enough.
    var limit = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    signal(ending, SIG_DFL)
    raise(ending)
    return 128 + ending
  }
}
