// Programs whose goroutines compute for long or sleep in the kernel: one scenario a run, named by the first argument, with
// a number behind it where it takes one. The tests start them as processes of their own, look at them while they run, and
// read what is left.
import Apus
import Glibc

let scenario = CommandLine.arguments.dropFirst().first ?? ""
let count = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 0

/// The main actor's, as everything at the top level.
var sum = 0

switch scenario {
case "main-actor":
  // Goroutine 1 changes its thread; what is the main actor's goes on being its.
  for _ in 0..<4 { go { computeForEver() } }
  let numbers = Channel<Int>()
  go {
    for number in 0..<100 {
      numbers.send(number)
      Goroutine.sleep(for: .microseconds(100))
    }
    numbers.close()
  }
  while let number = numbers.receive() {
    [1, 2].forEach { sum += $0 }
    MainActor.assumeIsolated { sum += number }
  }
  print(sum)
case "spin": spin()
case "read-untold": readBesideOthers(isTold: false)
case "read-told": readBesideOthers(isTold: true)
case "many-hogs": manyHogs(count)
case "begun-hogs": manyBegunHogs(count)
case "sleeper-beside-waker": sleepBesideWaker()
case "turns": takeTurns(seconds: Double(count) / 1000)
case "burst": burst(count)
case "idle-main-reads": idleInRead()
case "idle-goroutine-reads": idleOnChannel()
case "world-stops": stopWorldAgainAndAgain()
case "hogs-for": computeOnEveryProcessor(seconds: Double(count) / 1000)
case "ended-threads": endThreads(count)
case "statistics": growStatistics()
case "mutex-of-a-hog": lockOfHog()
case "calm-mutex": waitForCalmMutex(count)
case "watched-mutex": waitForWatchedMutex()
case "malloc-of-a-hog": mallocOfHog()
case "interrupted": interrupted()
case "children": childrenOfStopped()
case "sleeping-timeouts": timeoutsBesideDumps()
case "sleepers-in-order": waitInOrder(byTimer: false)
case "afters-in-order": waitInOrder(byTimer: true)
default:
  print("unknown scenario: \(scenario)")
  exit(64)
}
