import Apus
import ApusHeap
import CStress
import Glibc

import struct Synchronization.Atomic

/// The calls of a relative time of which the kernel or the runtime knows what is left.
private let timedCalls = [
  "nanosleep", "clock_nanosleep", "usleep", "poll", "ppoll", "select", "pselect", "epoll_wait",
]

private final class Progress: Sendable {
  let isOver = Atomic<Bool>(false)
}

/// Sleeps with references on the stack, `milliseconds` each time, while the heap is collected all the time: a line for each
/// call, `RESULT MILLISECONDS COLLECTIONS NAME`.
func sleepBesideCollections(milliseconds: Int) {
  guard let caller = stress_caller_make() else { fatalError("not what the calls need: error \(errno)") }
  let progress = Progress()
  let ended = WaitGroup()
  ended.go {
    while !progress.isOver.load(ordering: .relaxed) { ManagedHeap.collect() }
  }
  for call in 0..<stress_call_count() {
    let name = String(cString: stress_call_name(call))
    if !timedCalls.contains(name) { continue }
    let before = ManagedHeap.statistics.collections
    let start = ContinuousClock.now
    let result = withHeap { heap in
      let leaf = heap.new(Leaf())
      leaf.bytes[0] = 1
      let result = stress_call_once(caller, call, CInt(milliseconds * 1000))
      return leaf.bytes[0] == 1 ? result : -100
    }
    let took = (ContinuousClock.now - start) / .milliseconds(1)
    print(result, Int(took), ManagedHeap.statistics.collections - before, name)
  }
  progress.isOver.store(true, ordering: .relaxed)
  ended.wait()
  stress_caller_free(caller)
}
