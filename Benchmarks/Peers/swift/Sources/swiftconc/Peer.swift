// Peer: Swift Concurrency. swiftconc WORKLOAD [-procs N] [-n SIZE] [-secs S] [-impl lib|hand]
// impl lib: AsyncChannel and friends from swift-async-algorithms, actors, TaskGroup.
// impl hand: a bounded channel written on Mutex + UnsafeContinuation (the best this peer can do).
// The pool has no API for its width: the runner pins the process to N cores for -procs N.
// Prints: name procs size ns_per_op ops_per_s peak_rss_kb [key=value ...]
import Glibc

func arg(_ name: String, _ d: Int) -> Int {
  let a = CommandLine.arguments
  if let i = a.firstIndex(of: name), i + 1 < a.count { return Int(a[i + 1]) ?? d }
  return d
}
let procs = arg("-procs", 1)
let secs = arg("-secs", 2)
let hand = CommandLine.arguments.contains("hand")
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
  print("\(name) \(procs) \(n) \(f1(ns)) \(Int(1e9 / ns)) \(statusKB("VmHWM")) \(extra)")
}

func pct(_ v: [Int], _ p: Double) -> Int { v.isEmpty ? -1 : v[Int(p * Double(v.count - 1))] / 1000 }

@main struct Peer {
  static func main() async {
    guard CommandLine.arguments.count > 1 else { exit(2) }
    switch CommandLine.arguments[1] {
    case "hello": print("hello, world")
    case "yield": await yieldW()
    case "spawn_join": await spawnJoin()
    case "pingpong": hand ? await pingpong(HandCh(), HandCh()) : await pingpong(LibCh(), LibCh())
    case "chan_buffered": hand ? await buffered("chan_buffered", HandCh(128), 1, 1) : await bufferedLib()
    case "chan_mpmc": hand ? await buffered("chan_mpmc", HandCh(128), 4, 4) : await buffered("chan_mpmc", LibCh(), 4, 4)
    case "select2": await select(2)
    case "select8": await select(8)
    case "skynet": hand ? await skynet { HandCh() } : await skynet { LibCh() }
    case "skynet_taskgroup": await skynetTG()
    case "ring": hand ? await ring { HandCh() } : await ring { LibCh() }
    case "mutex": await mutex()
    case "mutex_actor": await mutexActor()
    case "rwmutex": await rwmutex()
    case "timers": await timers()
    case "parked": await parked()
    case "sieve": hand ? await sieve { HandCh() } : await sieve { LibCh() }
    case "blocking": await blocking(false)
    case "blocking_offload": await blocking(true)
    case "hog": await hog()
    case "binary_trees": await trees()
    default: exit(3)
    }
    exit(0)
  }
}
