import ApusRuntime

/// The managed heap's part of `Runtime.metrics`. Where a program has no object, most of it is 0.
enum HeapMetrics {
  static func now() -> [Metric] {
    let figures = HeapFigures.now()
    let unused = max(figures.usedBytes - figures.liveBytes, 0)
    let free = max(figures.residentBytes - figures.usedBytes, 0)
    return [
      Metric(
        "/apus/gc/marking:nanoseconds", .integer(UInt64(figures.markTime)), isCumulative: true,
        "The processors' time that marking took."),
      Metric(
        "/apus/gc/pauses/total:nanoseconds", .integer(UInt64(figures.pauseTotal)), isCumulative: true,
        "How long goroutines stood still for collections."),
      Metric(
        "/apus/gc/pauses/worst:seconds", .real(Double(figures.worstPause) / 1e9),
        "How long they did at most at once."),
      Metric(
        "/apus/gc/roots:roots", .integer(UInt64(max(figures.roots, 0))),
        "Roots: managed objects that something outside the heap holds."),
      Metric(
        "/apus/gc/scavenged:bytes", .integer(UInt64(figures.scavengedBytes)), isCumulative: true,
        "Memory of the heap that was given back to the system."),
      Metric(
        "/gc/cycles/automatic:gc-cycles", .integer(UInt64(figures.collections - figures.forcedCollections)),
        isCumulative: true,
        "Collections that the heap's size or the time has begun."),
      Metric(
        "/gc/cycles/forced:gc-cycles", .integer(UInt64(figures.forcedCollections)), isCumulative: true,
        "Collections that the program has asked for."),
      Metric(
        "/gc/cycles/total:gc-cycles", .integer(UInt64(figures.collections)), isCumulative: true,
        "Collections."),
      Metric(
        "/gc/gogc:percent", .integer(UInt64(bitPattern: Int64(HeapKnob.percent))),
        "By how many per cent the heap may grow between two collections; the largest number if that is off."),
      Metric(
        "/gc/gomemlimit:bytes", .integer(UInt64(HeapKnob.limit)),
        "How much memory the process should have at most."),
      Metric(
        "/gc/heap/frees:bytes", .integer(UInt64(figures.freedBytes)), isCumulative: true,
        "Bytes of objects that were found to be garbage."),
      Metric(
        "/gc/heap/goal:bytes", .integer(UInt64(figures.goal)),
        "The size that the heap should have when the next collection ends."),
      Metric(
        "/memory/classes/heap/free:bytes", .integer(UInt64(free)),
        "Memory of the heap that is free, and could be given back to the system."),
      Metric(
        "/memory/classes/heap/objects:bytes", .integer(UInt64(figures.liveBytes)),
        "Bytes of objects: those that lived after the last collection, and those made since."),
      Metric(
        "/memory/classes/heap/unused:bytes", .integer(UInt64(unused)),
        "Memory of the heap that is reserved for objects, and has none."),
    ]
  }
}
