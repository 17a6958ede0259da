/// Seeds for every random choice of the runtime (Go's `alginit`): all derive from one number, AT_RANDOM's bytes or the one
/// given by `GODEBUG=seed=N`, so that a run can be repeated.
enum Seed {
  /// The seed of the `index`th user: splitmix64 over the process's seed.
  static func derive(_ index: UInt64) -> UInt64 {
    mix(sched.pointee.facts.seed &+ (index &+ 1) &* 0x9e37_79b9_7f4a_7c15)
  }

  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
