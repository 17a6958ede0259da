#if Tools
  import ArgumentParser

  @main
  struct Command: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "apus", abstract: "Shows what programs of Apus do.",
      subcommands: [BootCommand.self, TraceCommand.self])
  }
#else
  /// Without the command line's parser there is no command.
  @main
  struct Command {
    static func main() { fatalError("built without the trait Tools: there is no command here") }
  }
#endif
