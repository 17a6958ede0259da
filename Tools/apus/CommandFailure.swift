/// What ends the command with a line on standard error and status 1.
struct CommandFailure: Error, CustomStringConvertible {
  var description: String
  /// The program that was looked into is gone.
  var isEndOfProgram = false

  init(_ description: String) { self.description = description }

  /// The program's process has ended.
  init(endOf process: Int32) {
    description = "process \(process) has ended"
    isEndOfProgram = true
  }
}
