#if Tools
  import Foundation
  import Testing

  /// The command `apus`, which nobody waits for for ever.
  func command(_ arguments: [String], timeout: Duration = .seconds(60)) throws -> ProgramResult {
    try run(product("apus"), arguments, timeout: timeout)
  }

  /// A program to look into.
  enum AttachedProgram {
    /// Starts one that does what its scenario says; it has come as far.
    static func start(
      _ scenario: String, processors: Int = 2, _ changes: [String: String] = [:],
      errors: FileHandle = .standardError
    ) throws -> RunningProgram {
      let environment = inheritedEnvironment(["GOMAXPROCS": "\(processors)"].merging(changes) { $1 })
      let program = try RunningProgram(
        product("apus-attached"), [scenario], environment: environment, errors: errors)
      #expect(program.firstOutput() == "ready\n")
      return program
    }
  }
#endif
