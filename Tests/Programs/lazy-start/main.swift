// A program that the test enters through libc's own entry point: nothing has started the runtime, and eight threads use it
// first at the same time.
import Apus
import Synchronization

runThreads()
print("main is a goroutine: \(Goroutine.current != nil)")
print("received \(counts.received.load(ordering: .relaxed)), wrong \(counts.wrong.load(ordering: .relaxed))")
if CommandLine.arguments.count > 1 {
  let never = Channel<Int>()
  go(never) { $0.send(descend(0)) }
  print(never.receive() ?? 0)
}
