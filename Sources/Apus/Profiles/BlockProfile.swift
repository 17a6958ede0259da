import ApusRuntime
import CApus

extension Runtime {
  /// Of what goroutines wait for others the block profile counts one event for each so many nanoseconds (Go's
  /// `SetBlockProfileRate`): 1 counts every wait, 0, with which a program begins, or less none.
  ///
  /// A wait that is shorter is counted by chance, and then for those that were left out, too; so the sums are right on average
  /// whatever the number is. Each wait looks at the clock twice while it is not 0. A counted one costs a microsecond or so.
  public static var blockProfileRate: Int {
    get { Int(BlockProfile.rate) }
    set { BlockProfile.rate = Int64(max(newValue, 0)) }
  }

  /// Where goroutines have waited for others while `blockProfileRate` was not 0, in the format of pprof: stacks, with the number
  /// of waits and the nanoseconds of each (Go's `pprof.Lookup("block")`). Channels, `select`, locks, conditions, groups and
  /// semaphores count, sleeping and the network do not. A wait counts when it has ended, and without the time for which the
  /// goroutine was ready before it ran. Nothing is forgotten: what came between two profiles, `go tool pprof -base` shows.
  ///
  /// Written to a file, it is what `go tool pprof FILE` opens; it is not compressed. Of a stack with more than a hundred frames
  /// the innermost and outermost fifty are kept. Finding functions and lines costs milliseconds for each kind of stack.
  public static func blockProfile() -> [UInt8] {
    ProfileBuilder.contention(BlockProfile.read())
  }
}

extension ProfileBuilder {
  /// A profile of how often and for how long goroutines have waited, the longest first.
  static func contention(_ contents: ContentionProfile.Contents) -> [UInt8] {
    let (contentions, delay) = (Kind("contentions", "count"), Kind("delay", "nanoseconds"))
    var builder = ProfileBuilder(
      of: [contentions, delay], every: 1, contentions, program: CommandLine.arguments.first ?? "")
    var lookup = FrameLookup()
    let samples = contents.samples.sorted {
      ($0.amount, $1.addresses.first ?? 0) > ($1.amount, $0.addresses.first ?? 0)
    }
    for sample in samples { builder.add(sample.addresses, values: [sample.count, sample.amount], &lookup) }
    lookup.close()
    if contents.lost > 0 { builder.comment("\(contents.lost) events without a stack") }
    return builder.finish(at: UInt64(apus_unix_time()))
  }
}
