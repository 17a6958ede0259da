import Apus
import Foundation

/// Goroutines that put random records through Foundation's JSON encoder and decoder, whose frames are large and which
/// keep state of their own, with yields between.
@Sendable func json(_ run: StressRun) {
  let ferry = Ferry()
  run.withWorkers(8) { _, random in
    var traveller = Traveller(run, on: ferry)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let decoder = JSONDecoder()
    while !run.isOver {
      let record = Record(depth: random.pick(0...4), &random)
      do {
        let data = try encoder.encode(record)
        traveller.pause(&random)
        let copy = try decoder.decode(Record.self, from: data)
        traveller.pause(&random)
        run.check(copy == record, "a record came back from JSON as another")
        run.check(try encoder.encode(copy) == data, "a record's copy has another JSON")
      } catch {
        run.check(false, "JSON: \(error)")
      }
      run.count()
    }
  }
  ferry.close()
}

/// Something of every kind that JSON has.
private struct Record: Codable, Equatable {
  var name: String
  var number: Int
  var fraction: Double
  var flag: Bool
  var note: String?
  var tags: [String: Int]
  var children: [Record]

  init(depth: Int, _ random: inout Random) {
    number = Int(truncatingIfNeeded: random.next())
    name = String(repeating: "\"\\/ö🐦\n", count: random.pick(0...5)) + String(number)
    fraction = Double.random(in: -1e9...1e9, using: &random)
    flag = random.oneIn(2)
    note = random.oneIn(2) ? nil : String(number, radix: 36)
    tags = [:]
    for tag in 0..<random.pick(0...5) { tags["tag\(tag)"] = random.pick(-1000...1000) }
    children = []
    for _ in 0..<(depth == 0 ? 0 : random.pick(0...3)) { children.append(Record(depth: depth - 1, &random)) }
  }
}
