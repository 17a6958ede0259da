import Testing

extension Programs {
  /// Failures beside a thousand goroutines that wait: GOTRACEBACK says how many of these the report shows, and the process
  /// ends.
  @Suite struct Crowds {
    struct Failure: CustomTestStringConvertible, Sendable {
      var program: String
      var arguments: [String]
      /// The line that says what has failed.
      var headline: String
      /// What the goroutine that failed has called; nil where none has failed.
      var function: String?
      /// How many others there are, main among them where it waits.
      var crowd: Int
      /// Whether all are shown by default.
      var isEverybodys: Bool
      var testDescription: String { arguments.joined(separator: " ") }
    }

    private static func trap(_ kind: String, _ place: String, _ headline: String, all: Bool) -> Failure {
      Failure(
        program: "apus-traps", arguments: [kind, place, "1000"], headline: headline,
        function: kind == "stack" ? "descend(_:)" : "trap(of:)", crowd: place == "main" ? 1000 : 1001,
        isEverybodys: all)
    }

    static let failures = [
      Failure(
        program: "apus-faults", arguments: ["deadlock-many", "1000"],
        headline: "fatal error: all goroutines are asleep - deadlock!", function: nil, crowd: 1001, isEverybodys: true),
      trap("overflow", "main", "panic: Swift runtime failure: arithmetic overflow", all: false),
      trap("null", "goroutine", "panic: invalid memory address or nil pointer dereference", all: false),
      trap("stack", "main", "fatal error: stack overflow", all: true),
      trap("stack", "goroutine", "fatal error: stack overflow", all: true),
    ]

    @Test(arguments: failures) func theLevelSaysHowManyAreShown(failure: Failure) throws {
      for level in ["", "none", "single", "all", "system"] {
        let environment = inheritedEnvironment(level == "" ? [:] : ["GOTRACEBACK": level])
        let result = try run(
          product(failure.program), failure.arguments, environment: environment, timeout: .seconds(30))
        #expect(result.status == 2, "\(level): \(result)")
        #expect(result.output == "" && !result.leftProcesses, "\(level): \(result)")
        let dump = DumpText(result.errors, hasHeadline: true)
        #expect(([dump.headline ?? ""] + dump.details).contains(failure.headline), "\(level): \(result)")
        #expect(dump.faults == [], "\(level): \(result)")
        // The one that failed is the first. Some of the others may have been on their way to wait.
        let failed = dump.goroutines.prefix(failure.function == nil ? 0 : 1)
        #expect(failed.allSatisfy { $0.status == "running" && $0.calls(failure.function ?? "") }, "\(level): \(result)")
        let crowd = dump.goroutines.dropFirst(failed.count).filter {
          $0.id == 1 || $0.creation?.function.contains("park") == true
        }
        let isEverybody = level == "all" || level == "system" || (failure.isEverybodys && level != "none")
        #expect(crowd.count == (isEverybody ? failure.crowd : 0), "\(level): \(result)")
        #expect(failed.isEmpty == (failure.function == nil || level == "none"), "\(level): \(result)")
        #expect(Set(dump.goroutines.map(\.id)).count == dump.goroutines.count, "\(level)")
        #expect(dump.runtimeStack.isEmpty == (failure.function != nil || level != "system"), "\(level): \(result)")
        // Beside these there are only the runtime's own.
        let others = dump.goroutines.count - failed.count - crowd.count
        #expect(level == "system" ? others > 0 : others == 0, "\(level): \(result)")
      }
    }
  }
}
