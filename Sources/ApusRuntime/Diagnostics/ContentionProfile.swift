import CApus
import Synchronization

/// Where goroutines wait for each other: the stacks, each with how often and for how long. `BlockProfile` and
/// `MutexProfile` have one each.
///
/// What is counted is kept from when the profile was first switched on until the process ends, as Go does it. It lies in
/// memory that is there before anything is counted (samples.c), so that a goroutine which has just woken, or one that
/// releases a lock inside a section, only adds to it.
package struct ContentionProfile: ~Copyable {
  /// One in `unit` of `StackSample.count` is one event: an event that stands for one and a half is worth having.
  static var unit: Int64 { 1024 }

  /// Made by whoever switches the profile on first, and never taken away.
  private let table = Atomic<OpaquePointer?>(nil)

  /// Gets memory for stacks if there is none. False where the system has none.
  private func prepare() -> Bool {
    if table.load(ordering: .acquiring) != nil { return true }
    guard let new = apus_samples_new() else { return false }
    let result = table.compareExchange(expected: nil, desired: new, ordering: .acquiringAndReleasing)
    if !result.exchanged { apus_samples_free(new) }
    return true
  }

  /// Sets the number of `profile` that switches it on, or off with 0.
  func setRate(_ rate: Int64, of profile: Int32) {
    if rate > 0 && !prepare() { FatalReport.fatalError("runtime: the system has no memory for a profile") }
    apus_set_profile_rate(profile, UInt64(max(rate, 0)))
  }

  /// Counts so many units of an event, and nanoseconds, at the stack of the calling goroutine, which is `g`, from the function
  /// on that has called the one with the frame pointer `fp`.
  func count(units: Int64, _ nanoseconds: Int64, from fp: UInt, of g: GRef) {
    guard let table = table.load(ordering: .acquiring) else { return }
    apus_samples_add_caller(table, g.cHead, fp, UInt64(bitPattern: units), UInt64(bitPattern: nanoseconds))
  }

  /// What was counted. The innermost functions are left out as far as they are the scheduler's.
  func read() -> Contents {
    var contents = Contents()
    guard let table = table.load(ordering: .acquiring) else { return contents }
    contents.samples = StackSample.all(of: table)
    let unit = UInt64(Self.unit)
    contents.lost = apus_samples_lost(table) / unit
    var lookup = FrameLookup()
    var known: [UInt: Bool] = [:]
    for index in contents.samples.indices {
      contents.samples[index].count = (contents.samples[index].count + unit / 2) / unit
      var rest = contents.samples[index].addresses[...]
      while let address = rest.first, rest.count > 1 {
        let isOfRuntime = known[address] ?? lookup.isOfRuntime(address)
        known[address] = isOfRuntime
        if !isOfRuntime { break }
        rest = rest.dropFirst()
      }
      contents.samples[index].addresses = Array(rest)
    }
    lookup.close()
    return contents
  }

  /// Stacks, with how often and for how many nanoseconds.
  package struct Contents {
    package var samples: [StackSample] = []
    /// How many events there are no stacks for: there were too many different ones.
    package var lost: UInt64 = 0
  }

  /// A number below `limit`, which is above 0.
  static func random(below limit: Int64) -> Int64 {
    let m = acquireM()
    let bits = UInt64(m.randomBits()) << 32 | UInt64(m.randomBits())
    releaseM(m)
    return Int64(bits % UInt64(limit))
  }
}
