import Apus
import ApusRuntime
import Glibc

/// Traces that begin, pass to the next generation and end at any moment, while everything else goes on: goroutines that
/// compute, sleep in the kernel, keep their threads, and threads that are not the runtime's.
///
/// Here only the outside of a trace is looked at. `APUS_STRESS_TRACES=DIRECTORY` keeps them there, for Go's own parser.
@Sendable func traces(_ run: StressRun) {
  let kept = getenv("APUS_STRESS_TRACES").map { String(cString: $0) }
  let before = Runtime.maxProcs
  run.withWorkers(8) { worker, random in
    switch worker {
    case 0:
      var number = 0
      while !run.isOver {
        let path = (kept ?? "/tmp") + "/apus-stress-\(getpid())-\(number).trace"
        trace(run, path, &random)
        if kept == nil { unlink(path) }
        number += 1
      }
    case 1: foreignThreads(run)
    case 2: hogs(run)
    case 3: blocking(run)
    case 4: lockToThread(run)
    case 5:
      while !run.isOver {
        Runtime.maxProcs = random.pick(1...8)
        Goroutine.sleep(for: .microseconds(random.pick(100...30_000)))
      }
    case 6: while !run.isOver { spawnRound(run, &random) }
    default: while !run.isOver { channelRound(run, &random) }
    }
  }
  Runtime.maxProcs = before
  // What is asked for last counts from then on.
  TraceOfRun.setGenerationSize(TraceOfRun.standardGenerationSize)
}

private func trace(_ run: StressRun, _ path: String, _ random: inout Random) {
  TraceOfRun.setGenerationSize(random.oneIn(3) ? 1 : random.pick(1...1_000_000))
  let result = Runtime.writeTrace(to: path) {
    if random.oneIn(4) {
      Goroutine.yield()
    } else {
      Goroutine.sleep(for: .microseconds(random.pick(0...50_000)))
    }
    return random.pick(0...1000)
  }
  run.check((0...1000).contains(result), "a traced body returns something else")
  let header = "go 1.25 trace\0\0\0"
  guard let file = fopen(path, "r") else {
    run.check(false, "there is no trace, error \(errno)")
    return
  }
  var bytes = [UInt8](repeating: 0, count: 17)
  run.check(fread(&bytes, 1, 17, file) == 17, "a trace is empty")
  run.check(bytes.prefix(16).elementsEqual(header.utf8) && bytes[16] == 1, "a trace begins with something else")
  fclose(file)
  run.count()
}
