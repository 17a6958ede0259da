import Apus
import ApusNet
import Glibc
import struct Synchronization.Atomic

/// A unit of computing: 20,000 steps of xorshift, some 30 microseconds.
@inline(never)
private func chunk(_ start: UInt64) -> UInt64 {
  var x = start
  for _ in 0..<20_000 {
    x ^= x << 13
    x ^= x >> 7
    x ^= x << 17
  }
  return x
}

private final class Tally: Sendable {
  let chunks = Atomic<Int>(0)
  let sink = Atomic<UInt64>(0)
  let isDone = Atomic<Bool>(false)

  /// Computes while `condition` holds, and counts the units.
  func compute(while condition: () -> Bool) {
    var x: UInt64 = 1
    var count = 0
    while condition() {
      x = chunk(x)
      count += 1
    }
    sink.wrappingAdd(x, ordering: .relaxed)
    chunks.wrappingAdd(count, ordering: .relaxed)
  }

  func perSecond(_ nanoseconds: Int) -> String {
    decimal(Double(chunks.load(ordering: .relaxed)) / Double(nanoseconds) * 1e9, places: 0)
  }
}

/// `n` goroutines compute for `-secs`, without a scheduling point, and one sleeps for a millisecond again and again: how
/// late it wakes up.
func hog(_ options: Options) {
  let n = options.size ?? 4
  let length = options.seconds * 1_000_000_000
  let group = WaitGroup()
  let tally = Tally()
  let start = nanoseconds()
  for _ in 0..<n {
    group.go { tally.compute { nanoseconds() - start < length } }
  }
  nonisolated(unsafe) var lateness: [Int] = []
  group.go {
    while nanoseconds() - start < length {
      let begin = nanoseconds()
      Goroutine.sleep(for: .milliseconds(1))
      lateness.append(nanoseconds() - begin - 1_000_000)
    }
  }
  group.wait()
  let elapsed = nanoseconds() - start
  let sorted = lateness.sorted()
  func percentile(_ p: Double) -> String {
    sorted.isEmpty ? "0" : decimal(Double(sorted[Int(p * Double(sorted.count - 1))]) / 1e3, places: 0)
  }
  report(
    "hog", options, size: n, duration: elapsed, operations: max(sorted.count, 1),
    "ticks=\(sorted.count) late_p50_us=\(percentile(0.5)) late_p99_us=\(percentile(0.99)) "
      + "late_max_us=\(percentile(1)) chunks_per_s=\(tally.perSecond(elapsed))")
}

/// `n` goroutines compute for `-secs`, without a scheduling point, and one sends a message over a connection to another,
/// which sends it back, about once a millisecond: how long that takes. Both are woken by the poller each time.
func inputBesideHogs(_ options: Options) {
  let n = options.size ?? 2
  let length = options.seconds * 1_000_000_000
  let group = WaitGroup()
  let tally = Tally()
  guard let listener = try? TCPListener(port: 0) else { fatalError("io_hog: no listener") }
  let port = listener.address.port
  group.go { if let connection = try? listener.accept() { echo(connection) } }
  let start = nanoseconds()
  for _ in 0..<n {
    group.go { tally.compute { nanoseconds() - start < length } }
  }
  nonisolated(unsafe) var times: [Int] = []
  group.go {
    guard let connection = try? TCPConnection(host: "127.0.0.1", port: port) else { fatalError("io_hog: refused") }
    while nanoseconds() - start < length {
      let begin = nanoseconds()
      guard (try? connection.write([1] as [UInt8])) != nil, (try? connection.readExactly(1)) != nil else {
        fatalError("io_hog: the connection ended")
      }
      times.append(nanoseconds() - begin)
      Goroutine.sleep(for: .milliseconds(1))
    }
    connection.close()
  }
  group.wait()
  let elapsed = nanoseconds() - start
  times.sort()
  func percentile(_ part: Double) -> Int { times[Int(part * Double(times.count - 1))] / 1000 }
  report(
    "io_hog", options, size: n, duration: elapsed, operations: times.count,
    "trips=\(times.count) p50_us=\(percentile(0.5)) p99_us=\(percentile(0.99)) max_us=\(percentile(1)) "
      + "chunks_per_s=\(tally.perSecond(elapsed))")
}

/// 64 goroutines sleep in the kernel for a millisecond, `n` times each, and tell nobody, while two compute.
func blockingCalls(_ options: Options) {
  let n = options.size ?? 200
  let sleepers = WaitGroup()
  let workers = WaitGroup()
  let tally = Tally()
  let start = nanoseconds()
  for _ in 0..<2 {
    workers.go { tally.compute { !tally.isDone.load(ordering: .relaxed) } }
  }
  for _ in 0..<64 {
    sleepers.go {
      for _ in 0..<n {
        var time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
        nanosleep(&time, nil)
      }
    }
  }
  sleepers.wait()
  let elapsed = nanoseconds() - start
  tally.isDone.store(true, ordering: .relaxed)
  workers.wait()
  report(
    "blocking", options, size: n, duration: elapsed, operations: 64 * n,
    "total_ms=\(decimal(Double(elapsed) / 1e6, places: 1)) chunks_per_s=\(tally.perSecond(elapsed)) "
      + "threads=\(processStatus("Threads"))")
}
