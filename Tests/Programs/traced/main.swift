// Programs that write execution traces: one scenario a run, named by the first argument; the second is the file. The
// tests read the files, and have Go's own tool read them.
import Apus
import ApusRuntime
import Glibc

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: apus-traced SCENARIO FILE")
  exit(64)
}
let file = arguments[2]

/// The scenario `body` under a trace.
func traced(_ body: () throws -> Void) rethrows {
  try Runtime.writeTrace(to: file) { try body() }
}

struct Failure: Error {}

switch arguments[1] {
case "waits": traced { waitInEveryWay() }
case "network": try traced { try exchangeMessages() }
case "read-told": traced { readBesideOthers(isTold: true) }
case "read-untold": traced { readBesideOthers(isTold: false) }
case "hogs": traced { computeBesideOthers() }
case "foreign": traced { useFromThreads() }
case "in-region": traced { useTheRuntimeInRegions() }
case "procs": traced { changeProcessors() }
case "collections": traced { collectBesideOthers() }
case "annotations": traced { annotate() }
case "annotations-left": traced { trapInRegions() }
case "annotations-beyond": annotateBeyond(file)
case "logs":
  TraceOfRun.setGenerationSize(1)
  traced { logMuch() }
case "recorder-by-size": try recordBySize()
case "recorder-by-age": try recordByAge()
case "recorder-outside": try recordBesideTrace(isOutside: true)
case "recorder-inside": try recordBesideTrace(isOutside: false)
case "recorder-at-any-moment": try recordAtAnyMoment()
case "recorder-refusals": refuseRecorders()
case "recorder-exit", "recorder-deadlock":
  let recorder = FlightRecorder(minAge: .milliseconds(40))
  try recorder.start()
  passNumbers(1000)
  try recorder.write(to: file)
  if arguments[1] == "recorder-exit" { exit(7) }
  waitForEver(Channel<Int>())
case "generations":
  TraceOfRun.setGenerationSize(20_000)
  let never = Channel<Int>()
  go { waitForEver(never) }
  Goroutine.yield()
  traced {
    let first = TraceOfRun.generation
    repeat {
      // A buffer and a bit; and the time to write it.
      passNumbers(5_000)
      Goroutine.sleep(for: .milliseconds(10))
    } while TraceOfRun.generation < first + 4
  }
case "twice":
  traced { passNumbers(100) }
  traced { passNumbers(100) }
case "within":
  traced { Runtime.writeTrace(to: file + ".inner") { print("inner \(passNumbers(100))") } }
case "unwritable":
  print("value \(Runtime.writeTrace(to: file) { passNumbers(100) })")
case "throws":
  do {
    try traced { throw Failure() }
  } catch {
    print("\(error)")
  }
case "exit":
  traced {
    passNumbers(100)
    exit(7)
  }
case "exit-elsewhere":
  let (never, begun) = (Channel<Int>(), Channel<Int>())
  go {
    _ = begun.receive()
    exit(7)
  }
  traced {
    begun.send(1)
    waitForEver(never)
  }
case "deadlock":
  let never = Channel<Int>()
  traced { waitForEver(never) }
case "trap":
  traced {
    passNumbers(100)
    _ = [Int]()[passNumbers(1)]
  }
case "fork":
  traced {
    let child = forkAndExit()
    var status: CInt = 0
    waitpid(child, &status, 0)
    print("the child's status: \(status >> 8)")
  }
default:
  print("unknown scenario: \(arguments[1])")
  exit(64)
}
