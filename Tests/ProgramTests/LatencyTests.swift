import Testing

extension Programs {
  /// With one processor, and goroutines that nothing stops, it is known who is ready when, and for how long.
  @Suite struct Latencies {
    private static func numbers(_ scenario: String) throws -> [Int] {
      let result = try run(
        product("apus-faults"), [scenario],
        environment: inheritedEnvironment(["GOMAXPROCS": "1", "GODEBUG": "asyncpreemptoff=1,blockdetectoff=1"]))
      #expect(result.status == 0, "\(result)")
      return result.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    }

    /// Of twenty thousand goroutines that were ready for 20 ms as they began, and as many that were after a wait, one in 256 is
    /// a sample. Which of them, their numbers and chance say: it is wrong by nine on average.
    @Test func oneInSoManyIsSampled() throws {
      let numbers = try Self.numbers("latencies")
      try #require(numbers.count == 2)
      for number in numbers { #expect((30...130).contains(number), "\(numbers)") }
    }

    /// Twenty thousand goroutines wait for 20 ms or more: at least 400 s together, give or take what a sample is wrong by.
    @Test func waitsForLocksAreCounted() throws {
      let numbers = try Self.numbers("mutex-wait")
      #expect(numbers.count == 1 && (numbers.first ?? 0) > 150_000, "\(numbers)")
    }
  }
}
