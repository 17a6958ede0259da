#if Tools
  import ArgumentParser
  import Foundation

  /// What all commands have in common that look into a running program.
  struct AttachOptions: ParsableArguments {
    @Option(help: ArgumentHelp("For how long the program may keep an answer waiting.", valueName: "seconds"))
    var timeout = 10.0

    func validate() throws {
      guard timeout > 0, timeout <= 1_000_000 else { throw ValidationError("The timeout has to be above 0.") }
    }
  }

  struct DumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "dump", abstract: "Shows what the goroutines of a running program do.",
      discussion: """
        PID is a process of yours that uses Apus. Its goroutines are shown as at the end of a process by SIGQUIT; all of them \
        stand still while their frames are copied, a microsecond or so for each, and the program goes on.
        """)

    @Argument(help: ArgumentHelp("The process.", valueName: "pid"))
    var process: Int32

    @OptionGroup var options: AttachOptions

    func run() throws {
      let program = try Attachment(process, patience: options.timeout)
      try program.ask("dump") { FileHandle.standardOutput.write(Data($0)) }
    }
  }
#endif
