import ApusInspection
import Foundation
import Testing

@Suite struct PageTests {
  private func page(_ function: String) throws -> String {
    var trace = TraceBytes()
    trace.clock()
    trace.batch(
      thread: 1, at: 0, TraceBytes.event(.procStatus, 0, 1), TraceBytes.event(.goStatusStack, 1, 1, 2, 1),
      TraceBytes.event(.goBlock, after: 400, 2, 1))
    trace.texts(1, function, "chan receive")
    let timeline = try Timeline(trace.bytes)
    return timeline.page(title: "a </script> of \"mine\"", summary: TraceSummary(timeline))
  }

  private func data(of page: String) throws -> [String: Any] {
    let start = try #require(page.firstRange(of: "type=\"application/json\">")).upperBound
    let end = try #require(page[start...].firstRange(of: "</script>")).lowerBound
    let json = try JSONSerialization.jsonObject(with: Data(page[start..<end].utf8))
    return try #require(json as? [String: Any])
  }

  @Test func needsNothingElse() throws {
    let page = try page("main")
    for word in ["http:", "https:", "src=", "@import", "url("] { #expect(!page.contains(word)) }
  }

  /// Names of functions are the program's: nothing in one ends the script or the text that it stands in.
  @Test(arguments: ["main", "</script><b>", "a \"quoted\" \\ name", "two\nlines\u{1}", "generic<A & B>\u{2028}"])
  func carriesEveryName(function: String) throws {
    let data = try data(of: page(function))
    #expect(data["title"] as? String == "a </script> of \"mine\"")
    #expect((data["texts"] as? [String])?.contains(function) == true)
    let lanes = try #require(data["lanes"] as? [[String: Any]])
    // Runs from 1 to 402, as activity 1, with no reason, and is blocked from then on: activity 3.
    #expect((lanes[0]["items"] as? [Int])?.prefix(4) == [1, 400, 1, 1])
  }

  @Test func keepsWhatIsFew() {
    let lane = [LaneItem(start: 0, end: 10, what: 1, busy: 10), LaneItem(start: 11, end: 12, what: 2, busy: 1)]
    let (lanes, resolution) = LaneDetail.reduce([lane], to: 2)
    #expect(lanes == [lane])
    #expect(resolution == 0)
  }

  /// 10,000 short ones and a long one among them: the long one stays, and of the others only their number and time.
  @Test func joinsWhatIsShort() {
    var lane = (0..<5000).map { LaneItem(start: $0 * 100, end: $0 * 100 + 60, what: Int32($0 % 2), busy: 60) }
    lane.append(LaneItem(start: 500_000, end: 9_000_000, what: 7, busy: 8_500_000))
    lane += (0..<5000).map { LaneItem(start: 9_000_000 + $0 * 100, end: 9_000_060 + $0 * 100, what: 3, busy: 60) }
    let (lanes, resolution) = LaneDetail.reduce([lane], to: 100)
    #expect(lanes[0].count <= 100)
    #expect(lanes[0].reduce(0) { $0 + Int($1.count) } == lane.count)
    #expect(lanes[0].reduce(0) { $0 + $1.busy } == lane.reduce(0) { $0 + $1.busy })
    #expect(lanes[0].contains(LaneItem(start: 500_000, end: 9_000_000, what: 7, busy: 8_500_000)))
    #expect(resolution > 1000 && resolution < 100_000)
    // What is one goroutine's stays its own.
    #expect(lanes[0].first?.what == -1)
    #expect(lanes[0].last?.what == 3)
  }
}
