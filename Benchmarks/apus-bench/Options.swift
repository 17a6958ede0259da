import Glibc

/// What the command line asks for: `apus-bench WORKLOAD [-procs N] [-n SIZE] [-port P] [-conns C] [-secs S]`.
///
/// It is read by hand because start-up is measured through this executable's `hello`, and an argument library would be
/// loaded and initialised for it too.
struct Options: Sendable {
  /// The workload's name.
  var workload = ""
  /// The processors that run goroutines.
  var procs = 1
  /// The workload's size; nil asks for the workload's own default.
  var size: Int?
  /// The port that the network workloads listen on or connect to.
  var port = 18080
  /// The connections that the network workloads open.
  var connections = 100
  /// The seconds that the workloads of a fixed length run for.
  var seconds = 2

  /// Reads `arguments`, of which the first is the program's name. Anything it does not understand ends the process with
  /// the usage on standard error and status 2.
  init(_ arguments: [String]) {
    guard arguments.count > 1 else { exitUsage() }
    workload = arguments[1]
    var rest = arguments.dropFirst(2)
    while let name = rest.popFirst() {
      guard let text = rest.popFirst(), let value = Int(text), value >= 0 else { exitUsage() }
      switch name {
      case "-procs": procs = value
      case "-n": size = value == 0 ? nil : value
      case "-port": port = value
      case "-conns": connections = value
      case "-secs": seconds = value
      default: exitUsage()
      }
    }
  }
}

/// Prints how the program is called to standard error and exits with status 2.
func exitUsage() -> Never {
  complain("usage: apus-bench WORKLOAD [-procs N] [-n SIZE] [-port P] [-conns C] [-secs S]")
  exit(2)
}

/// Says on standard error that there is no `workload` and exits with status 3, which tells the comparison to leave it
/// out.
func exitUnsupported(_ workload: String) -> Never {
  complain("unsupported \(workload)")
  exit(3)
}

/// Writes `message` and a newline to standard error.
private func complain(_ message: String) {
  let line = Array((message + "\n").utf8)
  _ = write(STDERR_FILENO, line, line.count)
}
