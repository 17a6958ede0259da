// Peer: libdispatch, from Swift. swdispatch WORKLOAD [-procs N] [-n SIZE] [-secs S]
// Only what a queue library has an answer to. The runner pins the process to N cores for -procs N.
// Prints: name procs size ns_per_op ops_per_s peak_rss_kb [key=value ...]
import Atomics
import Dispatch
import Glibc

func arg(_ name: String, _ d: Int) -> Int {
  let a = CommandLine.arguments
  if let i = a.firstIndex(of: name), i + 1 < a.count { return Int(a[i + 1]) ?? d }
  return d
}
func size(_ d: Int) -> Int { arg("-n", d) }
@inline(__always) func now() -> Int {
  var t = timespec()
  clock_gettime(CLOCK_MONOTONIC, &t)
  return t.tv_sec * 1_000_000_000 + t.tv_nsec
}
func statusKB(_ key: String) -> Int {
  guard let f = fopen("/proc/self/status", "r") else { return 0 }
  defer { fclose(f) }
  var buf = [CChar](repeating: 0, count: 512)
  while fgets(&buf, 512, f) != nil {
    let l = String(cString: buf)
    if l.hasPrefix(key + ":") { return Int(l.filter { $0.isNumber }) ?? 0 }
  }
  return 0
}
func f1(_ v: Double) -> String { String(Int(v)) + "." + String(Int(v * 10) % 10) }
func report(_ name: String, _ n: Int, _ d: Int, _ ops: Int, _ extra: String = "") {
  let ns = Double(d) / Double(ops)
  print("\(name) \(arg("-procs", 1)) \(n) \(f1(ns)) \(Int(1e9 / ns)) \(statusKB("VmHWM")) \(extra)")
}
func pct(_ v: [Int], _ p: Double) -> Int { v.isEmpty ? -1 : v[Int(p * Double(v.count - 1))] / 1000 }

@inline(never) func chunk(_ a: UInt64) -> UInt64 {
  var x = a
  for _ in 0..<20000 { x ^= x << 13; x ^= x >> 7; x ^= x << 17 }
  return x
}
let sink = ManagedAtomic<UInt64>(0)
let g = DispatchGroup()
let q = DispatchQueue.global()

func spawnJoin() {
  let n = size(1_000_000)
  let c = ManagedAtomic(0)
  let t = now()
  for _ in 0..<n { q.async(group: g) { c.wrappingIncrement(ordering: .relaxed) } }
  g.wait()
  let d = now() - t
  precondition(c.load(ordering: .relaxed) == n)
  report("spawn_join", n, d, n)
}

func pingpong() {  // two blocks, two semaphores, one slot each way
  let n = size(200_000)
  let a = DispatchSemaphore(value: 0), b = DispatchSemaphore(value: 0)
  let v = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  v.pointee = 0
  let t = now()
  q.async(group: g) { for _ in 0..<n { a.wait(); v.pointee += 1; b.signal() } }
  q.async(group: g) { for _ in 0..<n { a.signal(); b.wait() } }
  g.wait()
  let d = now() - t
  precondition(v.pointee == n)
  report("pingpong", n, d, n)
}

func mutex() {  // serial queue, sync
  let n = size(1_000_000)
  let s = DispatchQueue(label: "s")
  let v = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  v.pointee = 0
  let t = now()
  for _ in 0..<8 { q.async(group: g) { for _ in 0..<n { s.sync { v.pointee += 1 } } } }
  g.wait()
  let d = now() - t
  precondition(v.pointee == 8 * n)
  report("mutex", n, d, 8 * n)
}

func rwmutex() {  // concurrent queue: sync to read, barrier to write
  let n = size(200_000)
  let s = DispatchQueue(label: "rw", attributes: .concurrent)
  let v = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  v.pointee = 0
  let t = now()
  for _ in 0..<8 {
    q.async(group: g) {
      for i in 0..<n {
        if i % 10 == 9 { s.sync(flags: .barrier) { v.pointee += 1 } } else { s.sync { precondition(v.pointee >= 0) } }
      }
    }
  }
  g.wait()
  let d = now() - t
  report("rwmutex", n, d, 8 * n)
}

func timers() {
  let n = size(100_000)
  let late = UnsafeMutablePointer<Int>.allocate(capacity: n)
  var x: UInt64 = 88_172_645_463_325_252
  let t = now()
  for i in 0..<n {
    x ^= x << 13
    x ^= x >> 7
    x ^= x << 17
    let us = Int(1000 + x % 99001), s = now()
    g.enter()
    q.asyncAfter(deadline: .now() + .microseconds(us)) {
      late[i] = now() - s - us * 1000
      g.leave()
    }
  }
  g.wait()
  let d = now() - t
  let l = (0..<n).map { late[$0] }.sorted()
  report("timers", n, d, n, "total_ms=\(f1(Double(d) / 1e6)) late_p50_us=\(pct(l, 0.5)) late_p99_us=\(pct(l, 0.99))")
}

func blocking() {
  let n = size(200)
  let done = ManagedAtomic(false), chunks = ManagedAtomic(0)
  let bg = DispatchGroup()
  let t = now()
  // a CPU block that never ended would keep the 64 others from ever starting (2 runnable threads fill
  // the pool), so each CPU worker queues itself again after every chunk
  @Sendable func work() {
    q.async(group: g) {
      sink.wrappingIncrement(by: chunk(1), ordering: .relaxed)
      chunks.wrappingIncrement(ordering: .relaxed)
      if !done.load(ordering: .relaxed) { work() }
    }
  }
  work()
  work()
  for _ in 0..<64 {
    q.async(group: bg) {
      for _ in 0..<n {
        var ts = timespec(tv_sec: 0, tv_nsec: 1_000_000)
        nanosleep(&ts, nil)
      }
    }
  }
  bg.wait()
  let d = now() - t
  let th = statusKB("Threads")
  done.store(true, ordering: .relaxed)
  g.wait()
  report(
    "blocking", n, d, 64 * n,
    "total_ms=\(f1(Double(d) / 1e6)) chunks_per_s=\(Int(Double(chunks.load(ordering: .relaxed)) / (Double(d) / 1e9))) threads=\(th)"
  )
}

func hog() {
  let n = size(4), T = arg("-secs", 2) * 1_000_000_000
  let start = now()
  let chunks = ManagedAtomic(0)
  for _ in 0..<n {
    q.async(group: g) {
      var x: UInt64 = 1, k = 0
      while now() - start < T { x = chunk(x); k += 1 }
      sink.wrappingIncrement(by: x, ordering: .relaxed)
      chunks.wrappingIncrement(by: k, ordering: .relaxed)
    }
  }
  let sq = DispatchQueue(label: "tick")
  var late: [Int] = []
  let fin = DispatchSemaphore(value: 0)
  func tick() {
    let s = now()
    sq.asyncAfter(deadline: .now() + .milliseconds(1)) {
      late.append(now() - s - 1_000_000)
      if now() - start < T { tick() } else { fin.signal() }
    }
  }
  sq.async { tick() }
  fin.wait()
  g.wait()
  let d = now() - start
  late.sort()
  report(
    "hog", n, d, late.count,
    "ticks=\(late.count) late_p50_us=\(pct(late, 0.5)) late_p99_us=\(pct(late, 0.99)) late_max_us=\(pct(late, 1)) chunks_per_s=\(Int(Double(chunks.load(ordering: .relaxed)) / (Double(d) / 1e9)))"
  )
}

switch CommandLine.arguments.dropFirst().first ?? "" {
case "hello": print("hello, world")
case "spawn_join": spawnJoin()
case "pingpong": pingpong()
case "mutex": mutex()
case "rwmutex": rwmutex()
case "timers": timers()
case "blocking": blocking()
case "hog": hog()
default: exit(3)
}
