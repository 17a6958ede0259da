// Programs about the managed heap that end badly, or whose memory is looked at from outside: one scenario a run, named by
// the first argument. The tests start them as processes of their own and read what is left.
import Apus
import ApusHeap
import Glibc

let scenario = CommandLine.arguments.dropFirst().first ?? ""
let size = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 0
if !runRefusal(scenario) && !runMemory(scenario, size) && !runDestruction(scenario, size) {
  print("unknown scenario: \(scenario)")
  exit(64)
}
