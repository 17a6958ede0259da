import ApusRuntime

extension Runtime {
  /// One in so many releases of a lock for which others have waited is counted by the mutex profile (Go's
  /// `SetMutexProfileFraction`): 1 counts all, 0, with which a program begins, or less none.
  ///
  /// While it is not 0 each wait for a lock looks at the clock, and each release that somebody waits for. A counted one costs a
  /// microsecond or so.
  public static var mutexProfileFraction: Int {
    get { Int(MutexProfile.fraction) }
    set { MutexProfile.fraction = Int64(max(newValue, 0)) }
  }

  /// Where locks were released for which others have waited while `mutexProfileFraction` was not 0, in the format of pprof:
  /// stacks, with the number of releases and the nanoseconds for which others have waited (Go's `pprof.Lookup("mutex")`). It
  /// shows who holds `Mutex` and `RWMutex` for too long, where `blockProfile` shows who suffers from it. Counts are those of
  /// all releases, estimated by the ones that were looked at.
  ///
  /// In other respects it is like `blockProfile`.
  public static func mutexProfile() -> [UInt8] {
    ProfileBuilder.contention(MutexProfile.read())
  }
}
