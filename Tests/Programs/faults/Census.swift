import Apus

/// Lets the others run until so many goroutines wait.
func yieldUntil(waiting count: UInt64) {
  while true {
    let waiting = Runtime.metrics.first { $0.name == "/sched/goroutines/waiting:goroutines" }
    if case .integer(let value)? = waiting?.value, value >= count { return }
    Goroutine.yield()
  }
}
