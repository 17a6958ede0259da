import Atomics
import Dispatch
import Glibc

@inline(never) func chunk(_ a: UInt64) -> UInt64 {
  var x = a
  for _ in 0..<20000 { x ^= x << 13; x ^= x >> 7; x ^= x << 17 }
  return x
}
let sink = ManagedAtomic<UInt64>(0)

func blocking(_ off: Bool) async {  // CPU workers must yield by hand, or a 2-thread pool never runs the rest
  let n = size(200)
  let done = ManagedAtomic(false), chunks = ManagedAtomic(0)
  let t = now()
  let cpu = (0..<2).map { _ in
    Task.detached {
      var x: UInt64 = 1, k = 0
      while !done.load(ordering: .relaxed) {
        x = chunk(x)
        k += 1
        await Task.yield()
      }
      sink.wrappingIncrement(by: x, ordering: .relaxed)
      chunks.wrappingIncrement(by: k, ordering: .relaxed)
    }
  }
  await withDiscardingTaskGroup { g in
    for _ in 0..<64 {
      g.addTask {
        for _ in 0..<n {
          if off {
            await withUnsafeContinuation { (k: UnsafeContinuation<Void, Never>) in
              DispatchQueue.global().async {
                var ts = timespec(tv_sec: 0, tv_nsec: 1_000_000)
                nanosleep(&ts, nil)
                k.resume()
              }
            }
          } else {
            var ts = timespec(tv_sec: 0, tv_nsec: 1_000_000)
            nanosleep(&ts, nil)
          }
        }
      }
    }
  }
  let d = now() - t
  let th = statusKB("Threads")
  done.store(true, ordering: .relaxed)
  for c in cpu { await c.value }
  report(
    off ? "blocking_offload" : "blocking", n, d, 64 * n,
    "total_ms=\(f1(Double(d) / 1e6)) chunks_per_s=\(Int(Double(chunks.load(ordering: .relaxed)) / (Double(d) / 1e9))) threads=\(th)"
  )
}

func hog() async {
  let n = size(4)
  let T = secs * 1_000_000_000
  let start = now()
  let chunks = ManagedAtomic(0)
  var late: [Int] = []
  await withTaskGroup(of: [Int].self) { g in
    for _ in 0..<n {
      g.addTask {
        var x: UInt64 = 1, k = 0
        while now() - start < T { x = chunk(x); k += 1 }
        sink.wrappingIncrement(by: x, ordering: .relaxed)
        chunks.wrappingIncrement(by: k, ordering: .relaxed)
        return []
      }
    }
    g.addTask {
      var l: [Int] = []
      repeat {
        let s = now()
        try? await Task.sleep(for: .milliseconds(1))
        l.append(now() - s - 1_000_000)
      } while now() - start < T
      if l.count <= 1 { l = [now() - start] }  // never ran while the hogs did
      return l
    }
    for await l in g { late += l }
  }
  let d = now() - start
  late.sort()
  report(
    "hog", n, d, max(late.count, 1),
    "ticks=\(late.count) late_p50_us=\(pct(late, 0.5)) late_p99_us=\(pct(late, 0.99)) late_max_us=\(pct(late, 1)) chunks_per_s=\(Int(Double(chunks.load(ordering: .relaxed)) / (Double(d) / 1e9)))"
  )
}
