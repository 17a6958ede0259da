import Apus

/// `n` goroutines sleep 1 to 100 ms each, at pseudorandom; the lateness of each wake-up counts from its own first
/// instruction.
func timers(_ options: Options) {
  let n = options.size ?? 100_000
  let group = WaitGroup()
  nonisolated(unsafe) let lateness = UnsafeMutablePointer<Int>.allocate(capacity: n)
  var x: UInt64 = 88_172_645_463_325_252
  let start = nanoseconds()
  group.add(n)
  for index in 0..<n {
    x ^= x << 13
    x ^= x >> 7
    x ^= x << 17
    let duration = Int(1000 + x % 99_001) * 1000
    go {
      let begin = nanoseconds()
      Goroutine.sleep(for: .nanoseconds(duration))
      lateness[index] = nanoseconds() - begin - duration
      group.done()
    }
  }
  group.wait()
  let elapsed = nanoseconds() - start
  let sorted = UnsafeBufferPointer(start: lateness, count: n).sorted()
  func percentile(_ p: Double) -> Double { Double(sorted[Int(p * Double(n - 1))]) / 1e3 }
  report(
    "timers", options, size: n, duration: elapsed, operations: n,
    "total_ms=\(decimal(Double(elapsed) / 1e6, places: 1)) late_p50_us=\(decimal(percentile(0.5), places: 0)) "
      + "late_p99_us=\(decimal(percentile(0.99), places: 0))")
}
