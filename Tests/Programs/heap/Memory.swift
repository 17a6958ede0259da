import Apus
import ApusHeap
import Glibc

struct Leaf {
  var next = Link<Leaf>()
  var bytes = [112 of UInt8](repeating: 0)
}

/// The number behind `key` in /proc/self/status, in kilobytes.
func status(_ key: String) -> Int {
  let file = open("/proc/self/status", O_RDONLY)
  defer { close(file) }
  let text = String(unsafeUninitializedCapacity: 8192) { max(0, read(file, $0.baseAddress, $0.count)) }
  for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
    return Int(line.filter { $0.isNumber }) ?? 0
  }
  return 0
}

/// Makes a list of `count` leaves.
private func makeList(_ heap: HeapToken, _ count: Int) -> Root<Leaf> {
  let first = heap.new(Leaf())
  for _ in 1..<count {
    let leaf = heap.new(Leaf())
    leaf.next = first.next
    first.next = leaf
  }
  return Root(first)
}

/// What the tests look at from outside. False for another scenario.
func runMemory(_ scenario: String, _ size: Int) -> Bool {
  switch scenario {
  case "spike": spike(megabytes: size)
  case "limit": fillToLimit(megabytes: size)
  case "trace": collectOften(size)
  case "trace-waits": collectBesideFullPipe()
  case "sleepers": sleepBesideCollections(milliseconds: size)
  case "too-large": askForTooMuch()
  case "memory-of-the-process": takeAllMemory()
  default: return false
  }
  return true
}

/// A heap of so many megabytes that is dropped; then how long it takes until the process has given three quarters of it
/// back, and for how long the scavenger computed.
private func spike(megabytes: Int) {
  let before = status("VmRSS")
  let group = WaitGroup()
  group.add()
  go { heap in
    _ = makeList(heap, megabytes << 13)
    group.done()
  }
  group.wait()
  let peak = status("VmRSS")
  let start = ManagedHeap.statistics
  let began = ContinuousClock.now
  ManagedHeap.collect()
  while status("VmRSS") > before + (peak - before) / 4 && ContinuousClock.now - began < .seconds(60) {
    Goroutine.sleep(for: .milliseconds(20))
  }
  let elapsed = (ContinuousClock.now - began) / .microseconds(1)
  let took = (ManagedHeap.statistics.scavengeTime - start.scavengeTime) / .microseconds(1)
  print("before \(before) peak \(peak) after \(status("VmRSS")) scavenge \(Int(took)) of \(Int(elapsed)) us")
}

/// Lives with a third of `megabytes`, of which a quarter is new all the time, and makes garbage of ten times as much;
/// prints the largest resident size.
private func fillToLimit(megabytes: Int) {
  withHeap { heap in
    let kept = makeList(heap, (megabytes << 13) / 4)
    for _ in 0..<120 { _ = makeList(heap, (megabytes << 13) / 12) }
    _ = kept.get(heap)
  }
  print("peak \(status("VmHWM")) collections \(ManagedHeap.statistics.collections)")
}

private func collectOften(_ count: Int) {
  withHeap { heap in
    for _ in 0..<count {
      _ = makeList(heap, 1000)
      ManagedHeap.collect()
    }
  }
}

/// Standard error is a full pipe, so whoever writes a line to it waits. How often others come to their turn meanwhile, and
/// how many collections there were.
private func collectBesideFullPipe() {
  var ends: [CInt] = [0, 0]
  pipe(&ends)
  _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
  while write(ends[1], "x", 1) == 1 {}
  _ = fcntl(ends[1], F_SETFL, 0)
  dup2(ends[1], 2)
  go { heap in
    _ = heap.new(Leaf())
    ManagedHeap.collect()
  }
  var turns = 0
  while turns < 20 || ManagedHeap.statistics.collections == 0 {
    Goroutine.sleep(for: .milliseconds(5))
    turns += 1
  }
  print(turns >= 20, ManagedHeap.statistics.collections)
}

/// Wants more than the system gives.
private func askForTooMuch() {
  withHeap { heap in
    _ = Root(heap.newArray(repeating: 1 as UInt64, count: 1 << 43))
  }
}

/// Takes what the kernel gives, which is not much more than the process has. The heap asks for more than what it leaves to
/// others, for malloc above all.
private func takeAllMemory() {
  var limit = rlimit()
  getrlimit(__rlimit_resource_t(RLIMIT_DATA.rawValue), &limit)
  limit.rlim_cur = rlim_t(status("VmData") + 300 << 10) << 10
  setrlimit(__rlimit_resource_t(RLIMIT_DATA.rawValue), &limit)
  withHeap { heap in
    var roots: [Root<Leaf>] = []
    while true { roots.append(makeList(heap, 1000)) }
  }
}
