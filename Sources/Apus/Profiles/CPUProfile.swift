import ApusRuntime
import CApus

extension Runtime {
  /// Begins to look where CPU time goes: each thread that uses the runtime is looked at `samplesPerSecond` times in a second
  /// of its own CPU time (Go's `pprof.StartCPUProfile`). False when a profile is under way already.
  ///
  /// A hundred samples a second, Go's number, cost about a thousandth of the time. The kernel may look less often than it is
  /// asked to, at its ticks: 250 times a second on many systems; a sample then counts for what was left out. Anything but 1
  /// to 1000 ends the process with a panic.
  ///
  /// The signal is SIGPROF. It stays handled afterwards: what a program itself has installed for it before is still called
  /// for signals that others send.
  public static func startCPUProfile(samplesPerSecond: Int = 100) -> Bool {
    guard (1...1000).contains(samplesPerSecond) else {
      Fatal.panic("pprof: not 1 to 1000 samples a second")
    }
    return CPUProfiler.start(period: 1_000_000_000 / Int64(samplesPerSecond))
  }

  /// Ends the profile and returns it in the format of pprof: stacks, with the number of samples and the CPU time in
  /// nanoseconds of each (Go's `pprof.StopCPUProfile`). Nil when there is none under way. Written to a file, it is what
  /// `go tool pprof FILE` opens; it is not compressed.
  ///
  /// Stacks are found by frame pointers: of code that keeps none, as in C libraries, a caller may be missing. Of a stack with
  /// more than a hundred frames the innermost and outermost fifty are kept. Finding functions and lines costs milliseconds
  /// for each kind of stack.
  public static func stopCPUProfile() -> [UInt8]? {
    guard let result = CPUProfiler.stop() else { return nil }
    let (samples, cpu) = (ProfileBuilder.Kind("samples", "count"), ProfileBuilder.Kind("cpu", "nanoseconds"))
    var builder = ProfileBuilder(
      of: [samples, cpu], every: UInt64(result.period), cpu, program: CommandLine.arguments.first ?? "")
    var lookup = FrameLookup()
    for sample in result.samples.sorted(by: {
      ($0.count, $1.addresses.first ?? 0) > ($1.count, $0.addresses.first ?? 0)
    }) {
      builder.add(sample.addresses, values: [sample.count, sample.count * UInt64(result.period)], &lookup)
    }
    lookup.close()
    if result.lost > 0 { builder.comment("\(result.lost) samples without a stack") }
    return builder.finish(at: UInt64(apus_unix_time()))
  }
}
