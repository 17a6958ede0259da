import Atomics

func yieldW() async {
  let n = size(1_000_000)
  let t = now()
  await withDiscardingTaskGroup { g in
    for _ in 0..<2 { g.addTask { for _ in 0..<n { await Task.yield() } } }
  }
  report("yield", n, now() - t, 2 * n)
}

func spawnJoin() async {
  let n = size(1_000_000)
  let c = ManagedAtomic(0)
  let t = now()
  await withDiscardingTaskGroup { g in
    for _ in 0..<n { g.addTask { c.wrappingIncrement(ordering: .relaxed) } }
  }
  let d = now() - t
  precondition(c.load(ordering: .relaxed) == n)
  report("spawn_join", n, d, n)
}

func skyTG(_ num: Int, _ size: Int) async -> Int {
  if size == 1 { return num }
  return await withTaskGroup(of: Int.self) { g in
    for i in 0..<10 { g.addTask { await skyTG(num + i * (size / 10), size / 10) } }
    var s = 0
    for await v in g { s += v }
    return s
  }
}

func skynetTG() async {
  let n = size(1_000_000)
  let t = now()
  let s = await skyTG(0, n)
  let d = now() - t
  precondition(s == n * (n - 1) / 2)
  report("skynet_taskgroup", n, d, n, "total_ms=\(f1(Double(d) / 1e6))")
}

struct Slots<T>: @unchecked Sendable {
  let p: UnsafeMutablePointer<T>
  init(_ n: Int) { p = .allocate(capacity: n) }
}

func timers() async {
  let n = size(100_000)
  let late = Slots<Int>(n)
  var x: UInt64 = 88_172_645_463_325_252
  let t = now()
  await withDiscardingTaskGroup { g in
    for i in 0..<n {
      x ^= x << 13
      x ^= x >> 7
      x ^= x << 17
      let us = Int(1000 + x % 99001)
      g.addTask {
        let s = now()
        try? await Task.sleep(for: .microseconds(us))
        late.p[i] = now() - s - us * 1000
      }
    }
  }
  let d = now() - t
  let l = (0..<n).map { late.p[$0] }.sorted()
  report("timers", n, d, n, "total_ms=\(f1(Double(d) / 1e6)) late_p50_us=\(pct(l, 0.5)) late_p99_us=\(pct(l, 0.99))")
}

func parked() async {
  let n = size(100_000)
  let cs = Slots<UnsafeContinuation<Void, Never>>(n)
  let up = ManagedAtomic(0)
  let before = statusKB("VmRSS")
  let t = now()
  await withDiscardingTaskGroup { g in
    for i in 0..<n {
      g.addTask {
        await withUnsafeContinuation { k in
          cs.p[i] = k
          up.wrappingIncrement(ordering: .acquiringAndReleasing)
        }
      }
    }
    while up.load(ordering: .acquiring) != n { try? await Task.sleep(for: .milliseconds(1)) }
    let spawn = now() - t
    try? await Task.sleep(for: .milliseconds(50))
    let after = statusKB("VmRSS")
    let w = now()
    for i in 0..<n { cs.p[i].resume() }
    woken = (spawn, after, w)
  }
  let d = now() - woken.2
  report(
    "parked", n, d, n,
    "bytes_per_task=\((woken.1 - before) * 1024 / n) spawn_ns=\(woken.0 / n) wake_ms=\(f1(Double(d) / 1e6))")
}
nonisolated(unsafe) var woken = (0, 0, 0)

final class Node {
  let l: Node?, r: Node?
  init(_ l: Node?, _ r: Node?) { self.l = l; self.r = r }
  func check() -> Int { l == nil ? 1 : 1 + l!.check() + r!.check() }
}
func build(_ d: Int) -> Node { d == 0 ? Node(nil, nil) : Node(build(d - 1), build(d - 1)) }

func trees() async {
  let n = size(16), minD = 4
  let t = now()
  var ops = 1 << (n + 2) - 1 + 0
  ops = (1 << (n + 2)) - 1
  precondition(build(n + 1).check() == ops)
  let long = build(n)
  ops += (1 << (n + 1)) - 1
  ops += await withTaskGroup(of: Int.self) { g in
    for d in stride(from: minD, through: n, by: 2) {
      g.addTask {
        var c = 0
        for _ in 0..<1 << (n - d + minD) { c += build(d).check() }
        return c
      }
    }
    var s = 0
    for await v in g { s += v }
    return s
  }
  precondition(long.check() == (1 << (n + 1)) - 1)
  let d = now() - t
  report("binary_trees", n, d, ops, "total_ms=\(f1(Double(d) / 1e6))")
}
