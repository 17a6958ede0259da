/// How long goroutines were ready before they ran: how many of the samples are in which range of durations.
package struct Latencies: Equatable, Sendable {
  /// By the end of the range, in nanoseconds: what is in it is shorter.
  package var counts: [Int64: Int64] = [:]

  /// How many samples there are.
  package var total: Int64 { counts.values.reduce(0, +) }

  /// Those that have come since `before`, which was told earlier by the same program.
  package func since(_ before: Latencies) -> Latencies {
    // Read while it changes, a count never falls.
    Latencies(counts: counts.map { ($0, $1 - (before.counts[$0] ?? 0)) }.filter { $1 > 0 })
  }

  /// The end of the range in which the last of the shortest `fraction`, from 0 to 1, of the samples is: so long at most
  /// these were ready. Nil where there is no sample.
  package func quantile(_ fraction: Double) -> Int64? {
    let wanted = Double(total) * fraction
    var sum: Int64 = 0
    let ends = counts.keys.sorted()
    for end in ends {
      sum += counts[end] ?? 0
      if Double(sum) >= wanted { return end }
    }
    return ends.last
  }

  private init(counts: [(Int64, Int64)]) { self.counts = Dictionary(uniqueKeysWithValues: counts) }

  init() {}
}
