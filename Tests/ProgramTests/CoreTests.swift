import Glibc
import Testing

extension Programs {
  /// `GOTRACEBACK=crash` leaves the process to debuggers: it dies of SIGABRT, and the kernel makes a core file of it, where
  /// it makes any. Nothing else does.
  @Suite struct Cores {
    struct End: CustomTestStringConvertible, Sendable {
      var program: String
      var arguments: [String]
      /// What its report contains.
      var text: String
      var testDescription: String { arguments.joined(separator: " ") }
    }

    static let ends = [
      End(program: "apus-traps", arguments: ["overflow", "goroutine", "1000"], text: "arithmetic overflow"),
      End(program: "apus-traps", arguments: ["abort", "main", "10"], text: "panic: abort"),
      End(program: "apus-traps", arguments: ["null", "thread", "10"], text: "invalid memory address"),
      End(program: "apus-traps", arguments: ["stack", "goroutine", "1000"], text: "stack overflow"),
      End(program: "apus-faults", arguments: ["deadlock-many", "1000"], text: "all goroutines are asleep"),
      End(program: "apus-faults", arguments: ["close-twice"], text: "close of closed channel"),
      End(program: "apus-faults", arguments: ["quit-many"], text: "SIGQUIT: quit"),
    ]

    @Test(arguments: ends) func crashLeavesACoreFile(end: End) throws {
      let folder = try CoreFolder()
      let (result, files) = try folder.run(
        product(end.program), end.arguments, environment: inheritedEnvironment(["GOTRACEBACK": "crash"]))
      #expect(result.signal == SIGABRT, "\(result)")
      #expect(result.errors.contains(end.text), "\(result)")
      #expect(!result.leftProcesses, "\(result)")
      if folder.isKnown && folder.isAllowed {
        #expect(result.hasDumpedCore, "\(result)")
        #expect(files.count == 1, "\(files)")
        #expect(files.first?.signal == SIGABRT, "\(files)")
        #expect(files.first?.thread != nil, "\(files)")
      }
    }

    @Test(arguments: ends, ["none", "single", "all", "system"])
    func nothingElseDoes(end: End, level: String) throws {
      let (result, files) = try CoreFolder().run(
        product(end.program), end.arguments, environment: inheritedEnvironment(["GOTRACEBACK": level]))
      #expect(result.status == 2, "\(result)")
      #expect(result.errors.contains(end.text), "\(result)")
      #expect(!result.hasDumpedCore && files.isEmpty, "\(result) \(files)")
    }
  }
}
