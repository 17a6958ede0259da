import Apus

struct Refusal: Error {}

/// A task with a task below it, regions on three goroutines, and messages.
func annotate() {
  let group = WaitGroup()
  Trace.task("request") { context in
    Trace.log("size", "\(2 + 2) bytes", in: context)
    Trace.region("parse", in: context) {
      Trace.region("split") { Goroutine.yield() }
    }
    let (inner, task) = Trace.beginTask("part", in: context)
    for number in 0..<2 {
      group.go {
        var region = Trace.beginRegion("work", in: inner)
        defer { region.end() }
        Goroutine.sleep(for: .milliseconds(1))
        Trace.log("worker", "number \(number)", in: inner)
      }
    }
    group.wait()
    // From another goroutine than the one that began it.
    group.go { task.end() }
    group.wait()
    do {
      try Trace.region("refuse") { () throws(Refusal) in throw Refusal() }
    } catch {}
  }
  dropRegion()
  // Of a text more is left out, not within a character: 1023 bytes and one of two.
  Trace.log("", String(repeating: "x", count: 1023) + "\u{e9}")
  Trace.log("many", String(repeating: "x", count: 5000))
}

/// The region ends with the function.
@inline(never)
func dropRegion() {
  let region = Trace.beginRegion("dropped")
  Goroutine.yield()
  _ = consume region
}

/// What begins while no trace is on is in none, and what ends when none is on any more is not heard.
func annotateBeyond(_ file: String) {
  precondition(!Trace.isOn)
  var isMade = false
  func message() -> String {
    isMade = true
    return "never"
  }
  Trace.log("off", message())
  precondition(!isMade, "a message was made for nobody")
  var early = Trace.beginRegion("early")
  let (context, task) = Trace.beginTask("early")
  var late = Trace.beginRegion("unheard")
  Runtime.writeTrace(to: file + ".first") {
    precondition(Trace.isOn)
    Trace.region("inside", in: context) { Goroutine.yield() }
    late = Trace.beginRegion("late")
    early.end()
    task.end()
  }
  Runtime.writeTrace(to: file) {
    Trace.region("again") { Goroutine.yield() }
    late.end()
  }
}

/// So many texts that no generation could hold those of all.
func logMuch() {
  for number in 0..<20_000 { Trace.log("number", "the number \(number)") }
}

@inline(never)
func trap(_ index: Int) -> Int { [1, 2, 3][index] }

/// Bodies of isolated calls that trap inside regions, within and beside others.
func trapInRegions() {
  Trace.region("around") {
    _ = Goroutine.isolated {
      Trace.region("whole") { Goroutine.yield() }
      return Trace.region("left") {
        var region = Trace.beginRegion("left within")
        defer { region.end() }
        Goroutine.yield()
        return trap(arguments.count + 7)
      }
    }
    Trace.region("behind") { Goroutine.yield() }
    // The inner call alone is left.
    _ = Goroutine.isolated {
      Trace.region("outer") {
        _ = Goroutine.isolated { Trace.region("inner") { trap(arguments.count + 7) } }
      }
    }
    // Misuse that the runtime notices, in a region that was said to block.
    _ = Goroutine.isolated { Trace.region("misuse") { blocking { WaitGroup().done() } } }
  }
}
