import Testing

/// Every test that runs a program. One at a time: some of them need the machine for themselves.
@Suite(.serialized) enum Programs {}

extension Programs {
  /// The examples, and programs with each kind of `main`.
  @Suite struct Examples {
    @Test(arguments: ["hello", "sieve", "million", "graph", "lru", "echo", "crawl", "shutdown", "tally"])
    func printsWhatIsExpected(name: String) throws {
      let result = try run(product(name), timeout: .seconds(120))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == (try expectedOutput(ofExample: name)), "\(result)")
      #expect(result.errors == "", "\(result)")
    }

    @Test func sieveTakesACount() throws {
      let result = try run(product("sieve"), ["300"])
      let primes = result.output.split(separator: "\n").compactMap { Int($0) }
      #expect(result.status == 0, "\(result)")
      #expect(primes == (2...1987).filter { number in !(2..<number).contains { number.isMultiple(of: $0) } })
    }

    @Test func topLevelCodeIsGoroutineOne() throws {
      let result = try run(product("apus-faults"), ["main-returns"])
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "goroutine 1\n", "\(result)")
    }

    @Test func mainTypeIsGoroutineOne() throws {
      let result = try run(product("at-main"))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "goroutine 1\nanswer 42\n", "\(result)")
    }

    @Test func asyncMainStartsOnTheMainThread() throws {
      let result = try run(product("async-main"))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "main thread: true\nsum: 14\ntotal: 55\n", "\(result)")
    }

    @Test func onStartRunsBeforeTheRestOfMain() throws {
      let result = try run(product("apus-faults"), ["on-start"])
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "started\nmain\n", "\(result)")
    }

    @Test func standardInputReachesAGoroutine() throws {
      let result = try run(product("apus-faults"), ["echo"], input: "one\ntwo\n")
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "line: one\nline: two\n", "\(result)")
    }
  }
}
