// A program that the test enters through libc's own entry point: nothing has started the runtime, and eight threads use it
// first at the same time.
import Apus
import Glibc
import Synchronization

let scenario = CommandLine.arguments.dropFirst().first
if scenario?.hasPrefix("guest") == true { exitByFault() }
runThreads()
print("main is a goroutine: \(Goroutine.current != nil)")
print("received \(counts.received.load(ordering: .relaxed)), wrong \(counts.wrong.load(ordering: .relaxed))")
let never = Channel<Int>()
switch scenario {
case "overflow":
  go(never) { $0.send(descend(0)) }
  print(never.receive() ?? 0)
case "guest":
  useNullPointer()
case "guest-sent":
  kill(getpid(), SIGSEGV)
case "guest-goroutine":
  go { useNullPointer() }
  print(never.receive() ?? 0)
default:
  break
}
