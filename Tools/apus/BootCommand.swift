#if Tools
  import ApusInspection
  import ArgumentParser
  import Foundation

  struct BootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "boot", abstract: "Runs a program and draws its start-up.",
      discussion: """
        The program runs with GODEBUG=boottrace=1, and otherwise as if it had been run by itself: its input, its output, its \
        exit status. The timeline goes to standard error when the program's main is about to run: a bar for each step, from \
        the end of the step before to its own.
        """)

    @Argument(help: "The program: a path, or a name that is looked for in PATH.")
    var program: String

    @Argument(parsing: .captureForPassthrough, help: "What the program is given.")
    var arguments: [String] = []

    func run() throws {
      var environment = ProcessInfo.processInfo.environment
      // The last occurrence of a key counts.
      let knobs = environment["GODEBUG"].flatMap { $0.isEmpty ? nil : $0 + "," } ?? ""
      environment["GODEBUG"] = knobs + "boottrace=1"
      let child = try ChildProgram(program, arguments, environment: environment)
      var filter = BootFilter(columns: Self.columns)
      child.forEachError { Self.write(filter.add($0)) }
      Self.write(filter.end())
      let status = child.end()
      if !filter.hasTrace {
        Self.write(
          Array("apus: \(program) has printed no boot trace: it is no program of Apus, or ended before\n".utf8))
      }
      throw ExitCode(status)
    }

    private static func write(_ bytes: [UInt8]) {
      FileHandle.standardError.write(Data(bytes))
    }

    private static var columns: Int {
      var size = winsize()
      if ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
      return 120
    }
  }
#endif
