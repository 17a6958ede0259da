// Programs that use the poller and the network, each in a process of its own: one scenario a run, named by the first
// argument; the second is a number where one is wanted.
import Apus
import ApusRuntime
import Glibc

let scenario = CommandLine.arguments.dropFirst().first ?? ""
let count = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 0
if try !runPollerScenario(scenario) && !runLimitScenario(scenario, count) {
  print("unknown scenario: \(scenario)")
  exit(64)
}
