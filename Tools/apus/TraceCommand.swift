#if Tools
  import ApusInspection
  import ArgumentParser
  import Foundation

  struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "trace", abstract: "Summarises an execution trace.",
      discussion: """
        TARGET is an execution trace, as APUS_TRACE=FILE and Runtime.writeTrace write it; those of Go 1.23 and later can be \
        read, too. Or it is a number: a process of yours that uses Apus and is traced for a while as it runs.
        """)

    @Argument(help: ArgumentHelp("The trace, or the process.", valueName: "target"), completion: .file())
    var target: String

    @Option(help: ArgumentHelp("Write a timeline that any browser opens into this file.", valueName: "file"))
    var html: String?

    @Flag(help: "Show all functions, not only those that take the most time.")
    var all = false

    @Option(help: ArgumentHelp("For how long the process is traced.", valueName: "seconds"))
    var seconds = 1.0

    @Option(help: ArgumentHelp("Keep the process's trace in this file.", valueName: "file"), completion: .file())
    var output: String?

    @OptionGroup var options: AttachOptions

    func validate() throws {
      guard seconds > 0, seconds <= 1_000_000 else {
        throw ValidationError("The time has to be above 0 seconds.")
      }
    }

    func run() throws {
      let timeline: Timeline
      let title: String
      if let process = Int32(target) {
        let trace = try RunningTrace(of: process, seconds: seconds, output, options)
        do {
          timeline = try read(trace.contents)
        } catch is CommandFailure where trace.hasEnded {
          // Killed, it leaves what no reader understands.
          throw CommandFailure(endOf: process)
        }
        title = "process \(process)"
      } else {
        timeline = try read(contents(of: target))
        title = URL(filePath: target).lastPathComponent
      }
      let summary = TraceSummary(timeline)
      if let html {
        do {
          try Data(timeline.page(title: title, summary: summary).utf8).write(to: URL(filePath: html))
        } catch {
          throw CommandFailure("\(html): cannot be written: \(error.localizedDescription)")
        }
      }
      print(summary.text(limit: all ? nil : 20), terminator: "")
    }

    private func contents(of path: String) throws -> Data {
      do {
        return try Data(contentsOf: URL(filePath: path))
      } catch {
        throw CommandFailure("\(path): \(String(cString: strerror(errno)))")
      }
    }

    private func read(_ data: Data) throws -> Timeline {
      do {
        return try Timeline([UInt8](data))
      } catch let fault as TraceFault {
        throw CommandFailure("\(target): \(fault)")
      }
    }
  }
#endif
