import Glibc

/// What the command line asks for.
struct Options {
  /// The stresses to run, in the order to run them in.
  var chosen: [Stress] = []
  /// The time given to each stress.
  var seconds = 5.0
  /// What every random choice follows from.
  var seed: UInt64
  /// The processors to run on; nil leaves the runtime's own choice.
  var procs: Int?
  /// How long a goroutine runs before it is stopped while others wait, in nanoseconds; nil leaves the runtime's own choice.
  var slice: Int64?
  /// Whether only the names were asked for.
  var listsOnly = false

  /// Reads `arguments`, of which the first is the program's name. Anything it does not understand ends the process with
  /// the usage on standard error and status 2; `--help` prints it to standard output and ends with status 0.
  init(_ arguments: [String], stresses: [Stress]) {
    seed = UInt64(nanoseconds()) % 1_000_000_000
    var rest = arguments.dropFirst()
    while let argument = rest.popFirst() {
      switch argument {
      case "--help", "-h":
        print(usage)
        exit(0)
      case "--list": listsOnly = true
      case "--minutes": seconds = 60 * number(&rest, of: argument)
      case "--seconds": seconds = number(&rest, of: argument)
      case "--seed": seed = integer(&rest, of: argument)
      case "--procs": procs = integer(&rest, of: argument)
      case "--slice-us": slice = Int64(1000 * number(&rest, of: argument))
      default:
        guard let stress = stresses.first(where: { $0.name == argument }) else {
          refuse("there is no stress or option \(argument)")
        }
        chosen.append(stress)
      }
    }
    if chosen.isEmpty { chosen = stresses }
  }
}

private let usage = """
  usage: apus-stress [NAME ...] [--minutes N | --seconds N] [--seed S] [--procs N] [--slice-us N] [--list]

  Runs the stresses named, or all of them, one after the other, and prints a line for each: its operations, its
  migrations (goroutines observed on another thread than before) and its losses (anything missing, doubled or wrong).

    --minutes N, --seconds N   the time given to each stress, not to all together (default: 5 seconds)
    --seed S                   what every random choice follows from (default: another one each time; it is printed)
    --procs N                  sets Runtime.maxProcs first (default: as GOMAXPROCS and the machine have it)
    --slice-us N               stops a goroutine that has run for N microseconds when another waits (default: what the
                               runtime finds right, 250 to 10000)
    --list                     prints the names of the stresses and what each does

  Exit status: 0 if nothing was lost, 1 if something was, 2 for a bad argument, 4 if a stress made no progress for
  60 seconds (with APUS_STRESS_CORE set in the environment it aborts then, for a core file).
  """

/// The positive number that follows the option `name`.
private func number(_ rest: inout ArraySlice<String>, of name: String) -> Double {
  guard let value = rest.popFirst().flatMap({ Double($0) }), value > 0, value < 1e6 else {
    refuse("\(name) needs a number greater than zero")
  }
  return value
}

/// The whole number that follows the option `name`.
private func integer<Value: FixedWidthInteger>(_ rest: inout ArraySlice<String>, of name: String) -> Value {
  guard let value = rest.popFirst().flatMap({ Value($0) }), value >= 0 else { refuse("\(name) needs a whole number") }
  return value
}

/// Ends the process with `reason` and the usage on standard error, and status 2.
private func refuse(_ reason: String) -> Never {
  complain("apus-stress: \(reason)\n\n\(usage)")
  exit(2)
}

/// Writes `message` and a newline to standard error, past all buffers.
func complain(_ message: String) {
  let line = Array((message + "\n").utf8)
  _ = write(STDERR_FILENO, line, line.count)
}

/// Nanoseconds on the monotonic clock.
func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
