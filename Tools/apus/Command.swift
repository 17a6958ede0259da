#if Tools
  import ArgumentParser

  @main
  struct Command: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "apus", abstract: "Shows what programs of Apus do.",
      subcommands: [BootCommand.self, DumpCommand.self, TopCommand.self, TraceCommand.self])
  }
#else
  import Foundation

  /// Without the command line's parser there is no command.
  @main
  struct Command {
    static func main() {
      FileHandle.standardError.write(Data("apus: built without the trait Tools, there is no command here\n".utf8))
      exit(1)
    }
  }
#endif
