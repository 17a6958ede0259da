#if Tools
  import ApusInspection
  import ArgumentParser
  import Foundation

  struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "trace", abstract: "Summarises an execution trace.",
      discussion: """
        FILE is an execution trace, as APUS_TRACE=FILE and Runtime.writeTrace write it; those of Go 1.23 and later can be \
        read, too.
        """)

    @Argument(help: ArgumentHelp("The trace.", valueName: "file"), completion: .file())
    var target: String

    @Option(help: ArgumentHelp("Write a timeline that any browser opens into this file.", valueName: "file"))
    var html: String?

    @Flag(help: "Show all functions, not only those that take the most time.")
    var all = false

    func run() throws {
      let timeline = try Self.read(target)
      let summary = TraceSummary(timeline)
      if let html {
        let name = URL(filePath: target).lastPathComponent
        do {
          try Data(timeline.page(title: name, summary: summary).utf8).write(to: URL(filePath: html))
        } catch {
          throw CommandFailure("\(html): cannot be written: \(error.localizedDescription)")
        }
      }
      print(summary.text(limit: all ? nil : 20), terminator: "")
    }

    private static func read(_ path: String) throws -> Timeline {
      let data: Data
      do {
        data = try Data(contentsOf: URL(filePath: path))
      } catch {
        throw CommandFailure("\(path): \(String(cString: strerror(errno)))")
      }
      do {
        return try Timeline([UInt8](data))
      } catch let fault as TraceFault {
        throw CommandFailure("\(path): \(fault)")
      }
    }
  }
#endif
