import ApusRuntime
import CApus

extension Runtime {
  /// Where all goroutines are, in the format of pprof: each stack with the number of goroutines that have it (Go's
  /// `pprof.Lookup("goroutine")`). Written to a file, it is what `go tool pprof FILE` opens; it is not compressed.
  ///
  /// The world is stopped while stacks are copied, as for `dump`, a microsecond or so for each goroutine. Finding functions
  /// and lines then costs milliseconds for each kind of stack, beside everybody else. Of a stack with more than a hundred
  /// frames the innermost and outermost fifty are kept.
  public static func goroutineProfile() -> [UInt8] {
    let stacks = GoroutineSnapshot.stacks()
    let program = CommandLine.arguments.first ?? ""
    let kind = ProfileBuilder.Kind("goroutine", "count")
    var builder = ProfileBuilder(of: [kind], every: 1, kind, program: program)
    var lookup = FrameLookup()
    // The most frequent first; equal ones in an order of their own, so that two profiles are easily compared.
    for (addresses, count) in stacks.sorted(by: { ($0.value, $1.key.first ?? 0) > ($1.value, $0.key.first ?? 0) }) {
      builder.add(addresses, values: [UInt64(count)], &lookup)
    }
    lookup.close()
    return builder.finish(at: UInt64(apus_unix_time()))
  }
}
