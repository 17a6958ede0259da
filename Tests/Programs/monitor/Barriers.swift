import Apus
import CStress
import Glibc

/// Has the kernel refuse barriers, and says what happens to one who waits for a mutex for which nobody has waited in
/// `releases` releases.
func waitForCalmMutex(_ releases: Int) {
  let counter = Mutex(0)
  for _ in 0..<releases { counter.withLock { $0 += 1 } }
  refuseBarriers(deadly: CommandLine.arguments.last == "deadly")
  let group = WaitGroup()
  counter.withLock { number in
    for _ in 0..<3 { group.go { for _ in 0..<1000 { counter.withLock { $0 += 1 } } } }
    while waiting() < 2 { Goroutine.sleep(for: .milliseconds(1)) }
    Goroutine.sleep(for: .milliseconds(20))
    print("waiting", waiting())
    number += 1
  }
  // One is woken, comes too late, and has waited for so long that it is handed the lock next.
  counter.withLock { number in
    Goroutine.sleep(for: .milliseconds(5))
    number += 1
  }
  group.wait()
  print("counted", counter.withLock { $0 } - releases)
}

/// Has the kernel end the process at a barrier, and waits for a mutex for which others have waited lately.
func waitForWatchedMutex() {
  let counter = Mutex(0)
  refuseBarriers(deadly: true)
  let group = WaitGroup()
  for _ in 0..<4 {
    group.go {
      for step in 0..<2000 {
        counter.withLock { number in
          if step % 10 == 0 { Goroutine.yield() }
          number += 1
        }
      }
    }
  }
  group.wait()
  print("counted", counter.withLock { $0 })
}

private func waiting() -> Int {
  Runtime.dump().split(separator: "\n").count { $0.contains("[sync.Mutex.Lock") }
}

private func refuseBarriers(deadly: Bool) {
  let error = stress_refuse_barriers(deadly ? 1 : 0)
  if error < 0 {
    print("no filter:", -error)
    exit(77)
  }
}
