#if Tools
  import ApusInspection
  import ArgumentParser
  import Foundation

  struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "top", abstract: "Shows a running program's goroutines and processors, again and again.",
      discussion: """
        PID is a process of yours that uses Apus. Goroutines are counted by what they do and by where they were created; \
        nobody is stopped for that. How long goroutines were ready before they ran is sampled. The first picture has \
        what was counted since the program's start, the others have what was added in a second.
        """)

    @Argument(help: ArgumentHelp("The process.", valueName: "pid"))
    var process: Int32

    @Option(help: ArgumentHelp("The time between two pictures.", valueName: "seconds"))
    var interval = 1.0

    @Option(help: ArgumentHelp("End after so many pictures; without it there is no end.", valueName: "number"))
    var count: Int?

    @Flag(help: "The same as --count 1.")
    var once = false

    @Flag(help: "Show all kinds of goroutines, not only the most frequent ones.")
    var all = false

    @OptionGroup var options: AttachOptions

    func validate() throws {
      guard interval >= 0.01, interval <= 1_000_000 else {
        throw ValidationError("The interval has to be at least 0.01 seconds.")
      }
      guard count ?? 1 > 0 else { throw ValidationError("The number of pictures has to be above 0.") }
    }

    func run() throws {
      let program = try Attachment(process, patience: options.timeout)
      let isTerminal = isatty(STDOUT_FILENO) == 1
      var before: RuntimeFigures?
      var left = once ? 1 : count ?? .max
      while true {
        var answer: [UInt8] = []
        try program.ask("figures") { answer += $0 }
        let figures = RuntimeFigures(String(decoding: answer, as: UTF8.self))
        let text = figures.text(since: before, limit: all ? nil : 20)
        // On a terminal in the place of the one before.
        let start = isTerminal && left > 1 ? "\u{1b}[H\u{1b}[J" : before == nil ? "" : "\n"
        FileHandle.standardOutput.write(Data((start + text).utf8))
        before = figures
        left -= 1
        if left == 0 { return }
        Thread.sleep(forTimeInterval: interval)
      }
    }
  }
#endif
