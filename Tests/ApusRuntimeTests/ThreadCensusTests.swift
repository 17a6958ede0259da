import Testing

@testable import ApusRuntime

/// The kernel's count of threads, by which a deadlock is told from a wait for somebody else's thread.
@Suite struct ThreadCensusTests {
  private func parse(_ text: String) -> Int64? {
    Array(text.utf8).withUnsafeBytes { ThreadCensus.parse($0) }
  }

  private let fields = "S 1 2 3 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 17 0 508910 3133440 388"

  @Test func theEighteenthFieldCounts() {
    #expect(parse("15693 (cat) \(fields)\n") == 17)
  }

  @Test(arguments: ["a b c", "a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 99 0", "((", ""])
  func anyNameIsPassedOver(name: String) {
    #expect(parse("15693 (\(name)) \(fields)\n") == 17)
  }

  @Test(arguments: ["", "1 (x", "1 (x) S 1 2 3", "1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 many 0"])
  func whatIsNoSuchFileHasNoCount(text: String) {
    #expect(parse(text) == nil)
  }

  @Test func thisProcessHasThreads() throws {
    #expect(try #require(ThreadCensus.count()) >= 1)
  }
}
