import Apus
import ApusHeap
import ApusRuntime
import Glibc

/// Traces that begin, pass to the next generation and end at any moment, while everything else goes on: goroutines that
/// compute, sleep in the kernel, keep their threads, help the collector, say what they do, and threads that are not the
/// runtime's. A flight recorder comes and goes beside them, and is written at any moment.
///
/// Here only the outside of a trace is looked at. `APUS_STRESS_TRACES=DIRECTORY` keeps them there, for Go's own parser.
@Sendable func traces(_ run: StressRun) {
  let kept = getenv("APUS_STRESS_TRACES").map { String(cString: $0) }
  let before = Runtime.maxProcs
  run.withWorkers(10) { worker, random in
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
    case 6: annotate(run, &random)
    case 7: record(run, in: kept, &random)
    case 8: while !run.isOver { spawnRound(run, &random) }
    default: while !run.isOver { channelRound(run, &random) }
    }
  }
  Runtime.maxProcs = before
  // What is asked for last counts from then on.
  TraceOfRun.setGenerationSize(TraceOfRun.standardGenerationSize)
}

private struct Leaf {
  var next = Link<Leaf>()
  var number: Int
}

/// A list of leaves, each made in a region.
private func makeLeaves(_ heap: HeapToken, _ count: Int, in context: Context) -> Root<Leaf> {
  let first = heap.new(Leaf(number: 0))
  for number in 1...count {
    var region = Trace.beginRegion("leaf", in: context)
    let leaf = heap.new(Leaf(number: number))
    leaf.next = first.next
    first.next = leaf
    region.end()
  }
  return Root(first)
}

/// Tasks and regions, in which the heap is used and collected.
private func annotate(_ run: StressRun, _ random: inout Random) {
  var kept: Root<Leaf>?
  while !run.isOver {
    var region = Trace.beginRegion("outer")
    let count = random.pick(1...20_000)
    let collects = random.oneIn(3)
    Trace.task("make \(count % 8)") { context in
      Trace.log("count", "\(count) leaves", in: context)
      kept = withHeap { heap in makeLeaves(heap, count, in: context) }
      if collects { Trace.region("collect", in: context) { ManagedHeap.collect() } }
    }
    if random.oneIn(2) { region.end() }
    if random.oneIn(4) { kept = nil }
    run.count()
  }
  withHeap { heap in _ = kept?.get(heap) }
}

/// A flight recorder with a memory of any size, that is written from time to time.
private func record(_ run: StressRun, in kept: String?, _ random: inout Random) {
  var number = 0
  while !run.isOver {
    let recorder = FlightRecorder(
      minAge: .milliseconds(random.pick(1...200)), maxBytes: random.pick(1...1_000_000))
    do {
      try recorder.start()
      for _ in 0..<random.pick(0...3) {
        Goroutine.sleep(for: .microseconds(random.pick(0...80_000)))
        let path = (kept ?? "/tmp") + "/apus-stress-\(getpid())-recorder-\(number).trace"
        try recorder.write(to: path)
        check(run, path)
        if kept == nil { unlink(path) }
        number += 1
      }
    } catch {
      run.check(false, "\(error)")
    }
    run.check(recorder.isEnabled, "a recorder is off")
    if random.oneIn(2) { recorder.stop() }
  }
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
  check(run, path)
}

/// A trace begins like one.
private func check(_ run: StressRun, _ path: String) {
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
