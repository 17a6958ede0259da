import Testing

@testable import ApusRuntime

@Suite struct TimeHistogramTests {
  /// What Go's `timeHistogramMetricsBuckets` has for bounds, in nanoseconds.
  @Test func boundsAreGos() {
    #expect(TimeHistogram.count == 162)
    let starts = (1..<TimeHistogram.count).map { TimeHistogram.start(of: $0) }
    #expect(starts.prefix(13) == [0, 64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024])
    #expect(starts.suffix(3) == [3 << 45, 7 << 44, 1 << 47])
    #expect(starts == starts.sorted())
  }

  @Test func aDurationIsInTheBucketOfItsBounds() {
    for index in 1..<TimeHistogram.count {
      let start = TimeHistogram.start(of: index)
      #expect(TimeHistogram.bucket(of: start) == index)
      #expect(TimeHistogram.bucket(of: start - 1) == index - 1)
    }
    #expect(TimeHistogram.bucket(of: .min) == 0)
    #expect(TimeHistogram.bucket(of: .max) == TimeHistogram.count - 1)
  }

  @Test func durationsAreCounted() {
    let histogram = TimeHistogram(in: PersistentMemory.map(bytes: TimeHistogram.size))
    for duration: Int64 in [-1, 0, 63, 64, 1_000_000, 1_000_001, .max] { histogram.record(duration) }
    var sums = [UInt64](repeating: 10, count: TimeHistogram.count)
    histogram.add(to: &sums)
    #expect(sums[0] == 11)
    #expect(sums[1] == 12)
    #expect(sums[2] == 11)
    #expect(sums[TimeHistogram.bucket(of: 1_000_000)] == 12)
    #expect(sums[TimeHistogram.count - 1] == 11)
    #expect(sums.reduce(0, +) == 1620 + 7)
  }
}
