// Programs whose goroutines wait for descriptors, each in a process of its own: one scenario a run, named by the first
// argument.
import Apus
import ApusRuntime
import Glibc

let scenario = CommandLine.arguments.dropFirst().first ?? ""
if !runPollerScenario(scenario) {
  print("unknown scenario: \(scenario)")
  exit(64)
}
