import AsyncAlgorithms
import Atomics

func pingpong<C: Ch>(_ a: C, _ b: C) async {
  let n = size(1_000_000)
  Task.detached { while let v = await a.recv() { await b.send(v + 1) } }
  let t = now()
  var v = 0
  for _ in 0..<n {
    await a.send(v)
    v = await b.recv()!
  }
  let d = now() - t
  a.close()
  precondition(v == n)
  report("pingpong", n, d, n)
}

func buffered<C: Ch>(_ name: String, _ ch: C, _ p: Int, _ c: Int) async {
  let n = size(4_000_000)
  let sum = ManagedAtomic(0)
  let t = now()
  await withDiscardingTaskGroup { g in
    for _ in 0..<c {
      g.addTask {
        var k = 0
        while await ch.recv() != nil { k += 1 }
        sum.wrappingIncrement(by: k, ordering: .relaxed)
      }
    }
    await withDiscardingTaskGroup { pg in
      for _ in 0..<p { pg.addTask { for i in 0..<n / p { await ch.send(i) } } }
    }
    ch.close()
  }
  let d = now() - t
  precondition(sum.load(ordering: .relaxed) == n / p * p)
  report(name, n, d, n)
}

func bufferedLib() async {  // AsyncChannel behind .buffer(policy: .bounded(128))
  let n = size(4_000_000)
  let ch = AsyncChannel<Int>()
  let t = now()
  Task.detached {
    for i in 0..<n { await ch.send(i) }
    ch.finish()
  }
  var k = 0
  for await _ in ch.buffer(policy: .bounded(128)) { k += 1 }
  let d = now() - t
  precondition(k == n)
  report("chan_buffered", n, d, n)
}

func select(_ k: Int) async {  // no select in Swift Concurrency: merge is the nearest
  let n = size(1_000_000)
  let per = n / k
  let c = (0..<k).map { _ in AsyncChannel<Int>() }
  let t = now()
  for ch in c {
    Task.detached {
      for j in 0..<per { await ch.send(j) }
      ch.finish()
    }
  }
  var sum = 0
  if k == 2 {
    for await v in merge(c[0], c[1]) { sum += v }
  } else {
    for await v in merge(merge(c[0], c[1], c[2]), merge(c[3], c[4], c[5]), merge(c[6], c[7])) { sum += v }
  }
  let d = now() - t
  precondition(sum == k * (per * (per - 1) / 2))
  report("select\(k)", n, d, per * k)
}

func sky<C: Ch>(_ c: C, _ num: Int, _ size: Int, _ mk: @escaping @Sendable () -> C) async {
  if size == 1 { await c.send(num); return }
  let rc = mk()
  var sum = 0
  for i in 0..<10 {
    let a = num + i * (size / 10)
    Task.detached { await sky(rc, a, size / 10, mk) }
  }
  for _ in 0..<10 { sum += await rc.recv()! }
  await c.send(sum)
}

func skynet<C: Ch>(_ mk: @escaping @Sendable () -> C) async {
  let n = size(1_000_000)
  let c = mk()
  let t = now()
  Task.detached { await sky(c, 0, n, mk) }
  let s = await c.recv()!
  let d = now() - t
  precondition(s == n * (n - 1) / 2)
  report("skynet", n, d, n, "total_ms=\(f1(Double(d) / 1e6))")
}

func ring<C: Ch>(_ mk: () -> C) async {
  let n = size(10000), laps = 100
  let first = mk()
  var last = first
  for _ in 0..<n - 1 {
    let i = last, o = mk()
    Task.detached {
      while let v = await i.recv() { await o.send(v + 1) }
      o.close()
    }
    last = o
  }
  let t = now()
  var v = 0
  for _ in 0..<laps {
    if n > 1 { await first.send(v) }
    v = await last.recv()! + 1
  }
  let d = now() - t
  precondition(v == n * laps)
  report("ring", n, d, n * laps)
}

func sieve<C: Ch>(_ mk: () -> C) async {
  let n = size(2000)
  let t = now()
  var ch = mk()
  let g0 = ch
  Task.detached {
    for i in 2..<Int.max { await g0.send(i) }  // while true {...} here hangs when built with 6.3.1 -O
  }
  var p = 0
  for _ in 0..<n {
    p = await ch.recv()!
    let i = ch, o = mk(), q = p
    Task.detached { while let v = await i.recv() { if v % q != 0 { await o.send(v) } } }
    ch = o
  }
  let d = now() - t
  report("sieve", n, d, n, "total_ms=\(f1(Double(d) / 1e6)) prime=\(p)")
}
