import Testing

extension Programs {
  /// What must not allocate, counted by a malloc that counts. In release: debug builds of generic code allocate.
  @Suite struct Allocations {
    @Test(.enabled(if: !isDebug, "debug builds box generic values"), arguments: ["1", "2"])
    func hotOperationsAllocateNothing(processors: String) throws {
      let result = try run(
        product("apus-allocations"), environment: inheritedEnvironment(["GOMAXPROCS": processors]))
      #expect(result.status == 0, "\(result)")
      var counts: [String: Int] = [:]
      for line in result.output.split(separator: "\n") {
        let words = line.split(separator: " ")
        counts[words.dropLast().joined(separator: " ")] = words.last.flatMap { Int($0) }
      }
      #expect((counts["control"] ?? 0) >= 1000, "the counter does not count: \(result)")
      for name in [
        "unbuffered", "buffered", "try", "select that waits", "select with default", "select that sends",
        "select with a timeout", "sleep", "mutex", "yield", "go with an argument", "tcp", "tcp in small pieces",
        "tcp with deadlines", "pipe", "udp",
      ] {
        // What the runtime does meanwhile takes a few blocks now and then; a thousand operations take none.
        #expect((counts[name] ?? .max) < 5, "\(name): \(result.output)")
      }
    }

    /// In a section of the runtime nobody may wait for the lock of malloc: it may belong to a goroutine that is stopped.
    @Test(arguments: ["1", "2", "8"])
    func nothingIsAllocatedInSections(processors: String) throws {
      let result = try run(
        product("apus-allocations"), ["sections"], environment: inheritedEnvironment(["GOMAXPROCS": processors]))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "in sections 0\ncontrol 1\n", "\(result)")
    }
  }
}
